"""Stages of encoder-decoders, of tables that all layers read, and of layers that borrow keys, held to loops over layers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

import tscale
from tests.helpers import answer, disclosed, run
from tscale.blocks import Attention
from tscale.blocks.fields import LayerSelector
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import params
from tscale.core.ledger import Ledger
from tscale.core.parallelism import Parallelism
from tscale.core.partition import one_layer
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.models.lenders import cuts
from tscale.models.lower import lower
from tscale.models.resolve import find
from tscale.models.spec import ModelSpec
from tscale.models.stages import pieces_of, stages

RUN = SequenceLengths(target=7, source=11)
TWO = [name for name in disclosed() if isinstance(one := find(name), ModelSpec) and one.kind == "encoder-decoder"]


def spec_of(name: str) -> ModelSpec:
    spec = find(name)
    assert isinstance(spec, ModelSpec)
    return spec


def of_layers(ledger: Ledger) -> int:
    """Parameters of what stands in layers."""
    own = tuple(group for group in ledger.groups if not isinstance(group.where, str))
    return int(params(Ledger("", own)).total)


# ---- encoder-decoders ----


@pytest.mark.parametrize("name", TWO)
def test_stages_of_two_stacks_have_each_layer_once_and_never_of_both(name: str) -> None:
    """Held to a loop over all layers, one by one; twice as many stages as one stack has layers is the most."""
    spec = spec_of(name)
    whole, depth = lower(spec), int(spec.encoder_layers())
    encoder = sum(of_layers(one_layer(whole, "encoder", layer)) for layer in range(depth))
    decoder = sum(of_layers(one_layer(whole, "decoder", layer)) for layer in range(int(spec.layers)))
    for pipeline in (2, 3, 4, 2 * min(depth, int(spec.layers))):
        if pipeline > 2 * min(depth, int(spec.layers)):
            continue
        parts = stages(spec, Parallelism(pipeline=pipeline), whole)
        layers = [of_layers(part) for part in parts]
        stacks = [{group.stack for group in part.groups if not isinstance(group.where, str)} for part in parts]
        assert all(len(own) == 1 for own in stacks)
        encoders = sum(own == {"encoder"} for own in stacks)
        assert stacks == [{"encoder"}] * encoders + [{"decoder"}] * (pipeline - encoders)
        assert sum(layers[:encoders]) == encoder
        assert sum(layers[encoders:]) == decoder
        assert sum(forward_flops(part, RUN).total for part in parts) == forward_flops(whole, RUN).total


def test_what_stands_outside_of_t5_s_layers_is_where_megatron_has_it() -> None:
    """The table of words on the first stage of each stack, that of distances on every stage, the head on the last one."""
    spec = spec_of("t5-small")  # 6 + 6 layers, d 512, 8 heads, 32 buckets, a tied table of 32,128 words
    outside = [int(params(part).total) - of_layers(part) for part in stages(spec, Parallelism(pipeline=4))]
    words, distances, final = 32128 * 512, 32 * 8, 512
    assert outside == [words + distances, distances + final, words + distances, distances + final + words]


def test_one_stage_of_the_decoder_has_the_table_and_the_head_that_is_the_same() -> None:
    last = stages(spec_of("t5-small"), Parallelism(pipeline=2))[-1]
    assert int(params(last).total) - of_layers(last) == 32128 * 512 + 32 * 8 + 512


def test_a_stack_that_reads_sounds_has_no_table_of_words() -> None:
    first, last = stages(spec_of("whisper-base"), Parallelism(pipeline=2))
    names = {entry.name for entry in first.entries}
    assert "embedding.tokens" not in names
    assert "encoder.conv_1" in names
    assert "embedding.tokens" in {entry.name for entry in last.entries}


def test_every_stage_of_the_decoder_keeps_what_the_encoder_gave() -> None:
    whole = lower(spec_of("t5-small"), saves=True)
    kept = [
        [saved.name for saved in part.saved].count("encoder.output")
        for part in stages(spec_of("t5-small"), Parallelism(pipeline=4), whole)
    ]
    assert kept == [0, 0, 1, 1]


def test_stages_of_two_stacks_are_asked_for_in_one_list() -> None:
    found = stages(spec_of("t5-small"), Parallelism(pipeline=3, stages=(6, 2, 4)))
    each = [len([1 for entry in part.entries if entry.name.endswith("self_attention.q")]) for part in found]
    assert each == [1, 1, 1]
    assert [of_layers(part) // of_layers(found[1]) for part in found[1:]] == [1, 2]
    with pytest.raises(RequestError, match="let the first come to 6 layers"):
        stages(spec_of("t5-small"), Parallelism(pipeline=3, stages=(4, 4, 4)))
    with pytest.raises(RequestError, match="in one piece each: drop --interleave"):
        stages(spec_of("t5-small"), Parallelism(pipeline=2, interleave=2))
    with pytest.raises(RequestError, match="use at most 12"):
        stages(spec_of("t5-small"), Parallelism(pipeline=13))


def test_stages_of_the_decoder_send_both_streams() -> None:
    """The last of four stages gives back the gradients of 512 + 512 tokens of each of 8 sequences, in 16 bits."""
    asked = ("train", "t5-3b", "--gpu", "h100", "--gpus", "4", "--pipeline", "4", "--batch", "8", "--mfu", "0.4")
    parts = {row["part"]: row for row in answer(*asked)["plan"]["parts"]}
    assert parts["pipeline send/receive"]["bytes"] == 8 * (512 + 512) * 1024 * 2


def test_serving_two_stacks_in_stages_is_refused_in_a_line() -> None:
    assert (
        "serves the two stacks of t5-small in stages" in run("memory", "t5-small", "--gpus", "2", "--pipeline", "2").err
    )


# ---- tables that all layers read ----


def test_each_stage_of_deberta_has_the_table_of_distances() -> None:
    spec = spec_of("deberta-v2-xlarge")
    whole, table = lower(spec), 2 * 256 * 1536 + 2 * 1536
    head = 128100 * 1536
    parts = stages(spec, Parallelism(pipeline=4))
    assert sum(params(part).total for part in parts) == params(whole).total + 3 * table + head
    assert sum(forward_flops(part, RUN).total for part in parts) == forward_flops(whole, RUN).total


# ---- borrowed keys ----


def borrowing(layers: int, borrowers: tuple[int, ...], windows: tuple[int | None, ...]) -> ModelSpec:
    """A stack in which some layers borrow, and whose layers see as far as `windows` says in turn."""
    kinds: dict[tuple[bool, int | None], list[int]] = {}
    for layer in range(layers):
        kinds.setdefault((layer in borrowers, windows[layer % len(windows)]), []).append(layer)
    blocks = tuple(
        Attention(heads=4, borrows_keys=borrows, window=window, on=LayerSelector(layers=tuple(own)))
        for (borrows, window), own in kinds.items()
    )
    return replace(spec_of("gpt2"), layers=layers, attention=blocks)


def lender_of(layer: int, borrowers: tuple[int, ...], windows: tuple[int | None, ...]) -> int:
    """The last layer before it that has keys and sees as far."""
    window = windows[layer % len(windows)]
    return max(own for own in range(layer) if own not in borrowers and windows[own % len(windows)] == window)


CASES = (
    (12, (8, 9, 10, 11), (None,)),
    (12, (1, 3, 5, 7, 9, 11), (None,)),
    (35, tuple(range(15, 35)), (512, 512, 512, 512, None)),
    (16, (13, 14, 15), (64, None)),
)  # the last layers (Gemma 3n), every second one (Hunyuan-Large)


@pytest.mark.parametrize(("layers", "borrowers", "windows"), CASES)
def test_a_cut_keeps_each_borrower_with_its_lender(
    layers: int, borrowers: tuple[int, ...], windows: tuple[int | None, ...]
) -> None:
    pairs = [(lender_of(layer, borrowers, windows), layer) for layer in borrowers]
    whole = [cut for cut in range(1, layers) if all((one < cut) == (other < cut) for one, other in pairs)]
    assert cuts(borrowing(layers, borrowers, windows)) == whole


@pytest.mark.parametrize(("layers", "borrowers", "windows"), CASES)
def test_stages_are_cut_there_as_near_to_even_as_can_be(
    layers: int, borrowers: tuple[int, ...], windows: tuple[int | None, ...]
) -> None:
    spec = borrowing(layers, borrowers, windows)
    legal = cuts(spec)
    for pipeline in range(2, min(len(legal) + 1, 5) + 1):
        pieces = [piece for own in pieces_of(spec, Parallelism(pipeline=pipeline)) for piece in own]
        assert all(one.start + one.size == other.start for one, other in pairwise(pieces))
        assert {int(piece.start) for piece in pieces[1:]} <= set(legal)
        assert sum(int(piece.size) for piece in pieces) == layers
    if pipeline == 2:
        even = -(-layers // 2)
        assert abs(int(pieces[1].start) - even) == min(abs(cut - even) for cut in legal)


def test_stages_that_part_them_are_refused_with_the_nearest() -> None:
    spec = borrowing(12, (8, 9, 10, 11), (None,))
    with pytest.raises(RequestError, match=r"the nearest is --stages 6,6$"):
        list(pieces_of(borrowing(12, (7, 9, 11), (None,)), Parallelism(pipeline=2, stages=(7, 5))))
    assert [int(own[0].size) for own in pieces_of(spec, Parallelism(pipeline=3, stages=(3, 3, 6)))] == [3, 3, 6]
    with pytest.raises(RequestError, match="use --pipeline 8 or less"):
        list(pieces_of(spec, Parallelism(pipeline=9)))


def test_python_takes_the_same_stages() -> None:
    held = tscale.memory("t5-small", train=True, gpus=2, pipeline=2).to_dict()
    assert held["per_device_bytes"]["total"] > 0
