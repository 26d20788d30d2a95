"""How long a training run takes: FLOPs over what the devices do of their peak.

seconds = FLOPs / (gpus · peak · MFU), after Narayanan 2021 (equation 4) and Chowdhery 2022 (Appendix B), with the exact
FLOPs of the model in the place of 8·T·P or 6·N + 12·L·H·Q·T. Any two of devices, utilisation and time give the third.
Utilisation is in whole millionths, so that all of it is exact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Final, Literal, assert_never

from tscale.core.costs.forward import AttentionMask, forward_flops, matmul_flops, score_flops, untrained_flops
from tscale.core.costs.recompute import computed_again
from tscale.core.layers import Layers, layers_of
from tscale.core.ledger import Entry, Group, Ledger, Matmul, Scores, Stack, SubLayer
from tscale.core.roles import ADAPTERS
from tscale.core.tracing import ceil_div, is_nothing
from tscale.core.workload import SequenceLengths

MILLION: Final = 10**6
_NO_LAYER: Final = 2**62
"""More layers than any stack has."""
Recompute = Literal["none", "selective", "op", "full"]
"""What goes forward a second time: nothing, attention scores, every second product (torchtitan), or whole layers."""

SOURCE: Final = "narayanan2021 equation 4"


def seconds_to_train(flops: int, gpus: int, peak: int, mfu_millionths: int) -> int:
    """Seconds that `gpus` devices of `peak` FLOP/s take at a utilisation, rounded up."""
    return ceil_div(flops * MILLION, gpus * peak * mfu_millionths)


def gpus_to_train(flops: int, seconds: int, peak: int, mfu_millionths: int) -> int:
    """Devices that finish within so many seconds."""
    return ceil_div(flops * MILLION, seconds * peak * mfu_millionths)


def flops_within(gpu_seconds: int, peak: int, mfu_millionths: int) -> int:
    """Training FLOPs that so many seconds of a device of `peak` FLOP/s come to at a utilisation, rounded down."""
    return gpu_seconds * peak * mfu_millionths // MILLION


def mfu_of(flops: int, gpus: int, peak: int, seconds: Fraction) -> Fraction:
    """The model FLOPs utilisation of a run that took so long: a fraction of the peak."""
    return Fraction(int(flops)) / (int(gpus) * int(peak) * seconds)


def hardware_flops_ratio(
    ledger: Ledger, run: SequenceLengths, recompute: Recompute, parts: Iterable[Ledger] | None = None
) -> Fraction:
    """What the devices compute over what the model asks for: HFU / MFU, both in full attention.

    `parts`: the layers that the policy is about, where these are not all.
    """
    again = sum(int(recomputed_flops(part, run, recompute)) for part in ([ledger] if parts is None else parts))
    return 1 + Fraction(again, 3 * int(forward_flops(ledger, run).total) - int(untrained_flops(ledger, run)))


def recomputed_flops(ledger: Ledger, run: SequenceLengths, recompute: Recompute, sight: AttentionMask = "full") -> int:
    """FLOPs of one sequence that go forward a second time.

    selective: the attention scores (Korthikanti 2022, section 5, whose equation 8 charges them the backward pass again too:
    three times as much). op: every second product of a layer (`tscale.core.costs.recompute`). full: every layer, but not the
    head (Narayanan 2021, equation 3), nor a projector behind a tower.
    """
    match recompute:
        case "none":
            return 0
        case "selective":
            return sum(score_flops(entry, run, sight) for entry in ledger.entries if isinstance(entry, Scores))
        case "op":
            return sum(matmul_flops(entry, run) for entry in computed_again(ledger))
        case "full":
            once = (e for e in ledger.entries if isinstance(e, Matmul) and e.part in ("head", "projector"))
            return forward_flops(ledger, run, sight).total - sum(matmul_flops(entry, run) for entry in once)
        case _:
            assert_never(recompute)


def least_flops(
    ledger: Ledger, run: SequenceLengths, recompute: Recompute, parts: Iterable[Ledger] | None = None
) -> int:
    """FLOPs that training on one sequence takes at the least: of attention, the pairs of a query and a key that it sees.

    `parts`: the layers that the policy is about, where these are not all.
    """
    again = (least_recomputed_flops(part, run, recompute) for part in ([ledger] if parts is None else parts))
    spared = untrained_flops(ledger, run)
    once = 3 * forward_flops(ledger, run, "causal").total
    return sum(again, once if is_nothing(spared) else once - spared - _never_reached(ledger, run, recompute))


def _never_reached(ledger: Ledger, run: SequenceLengths, recompute: Recompute) -> int:
    """FLOPs at the most that a frozen model is spared besides: no gradient goes back past the first layer that has an adapter.

    Nor is anything before it computed again. In a stage that has none of these layers as many are taken to be spared. Of a tower
    with adapters it goes through all layers but one.
    """
    first = {group.stack: _first_adapted(ledger, group.stack) for group in ledger.groups}
    before = replace(ledger, groups=tuple(_up_to(ledger, first)))
    through = replace(ledger, groups=tuple(_up_to(ledger, {stack: layer + 1 for stack, layer in first.items()})))
    backward = 2 * forward_flops(through, run, "causal").total - untrained_flops(through, run)
    return backward + least_recomputed_flops(before, run, recompute)


def _first_adapted(ledger: Ledger, stack: Stack) -> int:
    """The first layer of a stack that has an adapter; past the last one where none has."""
    found = (
        bisect_left(range(_NO_LAYER), 1, key=group.where.count) - 1
        for group in ledger.groups
        if group.stack == stack and not isinstance(group.where, str) and any(map(_is_adapter, group.entries))
    )
    return min(found, default=_NO_LAYER)


def _is_adapter(entry: Entry) -> bool:
    return isinstance(entry, Matmul) and entry.role in ADAPTERS


def _up_to(ledger: Ledger, layers: Mapping[Stack, int]) -> Iterator[Group]:
    """What stands before the stacks, and in so many of the first layers of each; of a tower's layers with adapters one."""
    for group in ledger.groups:
        if isinstance(group.where, str):
            if group.where != "end":
                adapted_tower = group.stack == "tower" and any(map(_is_adapter, group.entries))
                yield group._replace(layers=1, copies=None) if adapted_tower else group
        elif few := min(int(group.layers), group.where.count(layers[group.stack])):
            yield group._replace(layers=few, copies=None)


def least_recomputed_flops(ledger: Ledger, run: SequenceLengths, recompute: Recompute) -> int:
    """FLOPs of one sequence that go forward a second time at the least: no product whose result the backward pass does not read.

    torch.utils.checkpoint (use_reentrant=False, early_stop=True) stops when all saved tensors are there again: a layer's last
    product is not one of them, nor is what the scores' values come to. Of towers nothing is taken to be computed again.
    """
    if run.media:
        ledger = replace(ledger, groups=tuple(group for group in ledger.groups if group.stack != "tower"))
    if recompute == "selective":
        scores = (entry._replace(d_v=0) for entry in ledger.entries if isinstance(entry, Scores))
        return sum(score_flops(entry, run, "causal") for entry in scores)
    again = recomputed_flops(ledger, run, recompute, "causal")
    if recompute == "full":
        return again - sum(matmul_flops(entry, run) for entry in last_products(ledger))
    if recompute == "op":
        last = {(entry.block, entry.role) for entry in last_products(ledger)}
        return again - sum(
            matmul_flops(entry, run) for entry in computed_again(ledger) if (entry.block, entry.role) in last
        )
    return again


_LAST: Final = frozenset({"o", "out", "down", "shared_down", "latent_up", "adapter", "lora_b"})
"""Roles of the matrices that a sub-layer may end with."""


def last_products(ledger: Ledger) -> Iterator[Matmul]:
    """The matrices that a layer may end with: of its feed-forward, or of its mixer where some layers have no feed-forward.

    Where several may be the last (routed and shared experts), all of them.
    """
    for stack in ("encoder", "decoder"):
        fed, mixed = frozenset[SubLayer]({"feed-forward"}), frozenset[SubLayer]({"mixer", "cross-attention"})
        followed = _selectors_ending(ledger, stack, mixed) <= _selectors_ending(ledger, stack, fed) or (
            _layers_ending(ledger, stack, mixed) <= _layers_ending(ledger, stack, fed)
        )
        last = fed if followed else fed | mixed
        yield from (entry for entry in _ends(ledger.entries, stack) if entry.block.sub_layer in last)


_LAYERS_LOOKED_AT: Final = 128
"""Layers by which it is told whether every mixer is followed by a feed-forward: no pattern of layers is longer."""


def _layers_ending(ledger: Ledger, stack: str, sub_layers: frozenset[SubLayer]) -> set[int]:
    """The first layers of a stack, by number, that have an end of one of these sub-layers."""
    found: set[int] = set()
    for where in _selectors_ending(ledger, stack, sub_layers):
        found.update(layers_of(where, _LAYERS_LOOKED_AT))
    return found


def _selectors_ending(ledger: Ledger, stack: str, sub_layers: frozenset[SubLayer]) -> set[Layers]:
    """Which layers of a stack have an end of one of these sub-layers, as their groups say it."""
    return {
        group.where
        for group in ledger.groups
        if not isinstance(group.where, str)
        and any(entry.block.sub_layer in sub_layers for entry in _ends(group.entries, stack))
    }


def _ends(entries: Iterable[Entry], stack: str) -> Iterator[Matmul]:
    for entry in entries:
        inside = entry.block.stack == stack and entry.block.sub_layer != "none"
        if isinstance(entry, Matmul) and inside and entry.role in _LAST:
            yield entry
