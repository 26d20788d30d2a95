"""Which layers have experts, and which experts, by the columns of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tscale.blocks import Experts, FeedForward, Mlp
from tscale.blocks.fields import LayerSelector
from tscale.importer.config_keys import Config

if TYPE_CHECKING:
    from tscale.importer.family import Routed


def dealt_out(config: Config, dense: FeedForward, row: Routed, **own: Any) -> Mlp | tuple[Mlp, ...]:
    """The experts alone, the dense feed-forward alone, or both with the layers that they stand in.

    `own`: fields of `Experts` that no column of a row says.
    """
    sparse = [True] if row.sparse is None else row.sparse(config)
    if row.dense_d_ff is not None:
        dense = replace(dense, d_ff=config.optional(row.dense_d_ff) or dense.d_ff)
    if not any(sparse):
        return dense
    return in_turn(dense, replace(_routed(config, row, gated=dense.gated), **own), sparse)


def in_turn(dense: FeedForward, routed: Experts, sparse: Sequence[bool]) -> Mlp | tuple[Mlp, Mlp]:
    """The shortest way to say which layers have experts: all or none, all but the first, every n-th, or by number."""
    if all(sparse) or not any(sparse):
        return routed if any(sparse) else dense
    at = [layer for layer, has in enumerate(sparse) if has]
    if all(sparse[at[0] :]):
        return replace(dense, on=LayerSelector(first=at[0])), routed
    every = at[1] - at[0] if len(at) > 1 else len(sparse)
    if at == list(range(at[0], len(sparse), every)) and at[0] < every:
        return dense, replace(routed, on=LayerSelector(every=every, at=at[0]))
    if 2 * len(at) <= len(sparse):
        return dense, replace(routed, on=LayerSelector(layers=tuple(at)))
    return replace(dense, on=LayerSelector(layers=tuple(layer for layer, has in enumerate(sparse) if not has))), routed


def _routed(config: Config, row: Routed, *, gated: bool) -> Experts:
    d_ff = config.size(row.d_ff)
    if row.shared is not None:
        shared = d_ff * config.whole(row.shared)
    else:
        shared = 0 if row.shared_d_ff is None else config.whole(row.shared_d_ff)
    experts, top_k = config.size(row.experts), config.size(row.top_k)
    groups, top_groups = groups_of(config, experts, top_k)
    return Experts(
        kind="experts",
        experts=experts,
        top_k=top_k,
        groups=groups,
        top_groups=top_groups,
        d_ff=d_ff,
        gated=gated,
        bias=row.bias,
        router_bias=row.router_bias,
        selection_bias=row.selection_bias,
        out_norm=row.out_norm,
        shared_d_ff=shared or None,
        shared_gate=row.shared_gate and shared > 0,
    )


_GROUPS: Final = ("n_group", "num_expert_group", "n_expert_groups")
_TOP_GROUPS: Final = ("topk_group", "n_limited_groups")
"""What files call groups of experts, and how many of them a token's experts may be in."""


def groups_of(config: Config, experts: int, top_k: int) -> tuple[int | None, int | None]:
    """Groups of experts, and to how many of them those of a token are limited; None where a file limits none, or cannot mean it.

    Where experts stand changes what devices send each other, and nothing that is counted: no value is refused.
    """
    groups, top = _said(config, _GROUPS), _said(config, _TOP_GROUPS)
    if type(groups) is not int or type(top) is not int or config.says("topk_method") == "greedy":
        return None, None
    fits = 0 < top < groups and experts % groups == 0 and top_k <= top * (experts // groups)
    return (groups, top) if fits else (None, None)


def _said(config: Config, names: Sequence[str]) -> object:
    """What a file says under the first of these names that it has."""
    return next((said for name in names if (said := config.says(name)) is not None), None)
