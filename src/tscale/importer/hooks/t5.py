"""Switch Transformers, which are T5 with experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscale.blocks import Experts, FeedForward, Mlp
from tscale.blocks.fields import LayerSelector

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config


def switch_experts(config: Config, dense: FeedForward) -> Mlp | tuple[Mlp, ...]:
    """A dense feed-forward in most layers and experts in every n-th of both stacks, one a token (Fedus 2021)."""
    steps = {
        _sparse_step(config, "num_layers", "num_sparse_encoder_layers", "encoder_sparse_step"),
        _sparse_step(config, "num_decoder_layers", "num_sparse_decoder_layers", "decoder_sparse_step"),
    }
    if len(steps) > 1:
        raise config.wrong(
            f"num_sparse_encoder_layers: experts in every n-th layer are known with one n for both stacks only, not "
            f"with {min(steps)} and {max(steps)}"
        )
    (step,) = steps
    if not step:
        return dense
    experts = Experts(
        kind="experts",
        experts=config.size("num_experts"),
        top_k=1,
        d_ff=dense.d_ff,
        gated=False,
        router_bias=config.flag("router_bias"),
        on=None if step == 1 else LayerSelector(every=step, at=1),
    )
    return experts if step == 1 else (dense, experts)


def _sparse_step(config: Config, layers: str, sparse_layers: str, step: str) -> int:
    """Every which layer has experts, 0 for none: the class divides the depth by their number, and takes it whole for 0."""
    depth = config.optional(layers) or config.size("num_layers")
    sparse, said = config.whole(sparse_layers), config.optional(step)
    return said or (depth // sparse if sparse else depth)
