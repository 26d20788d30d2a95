"""What each loss takes, as the libraries' own code makes and lets go of its arrays."""

from __future__ import annotations

import doctest
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.helpers import of_each
from tests.importer.recorded import recorded
from tscale.core import loss_kernels
from tscale.core.loss_kernels import (
    ALIASES,
    KERNELS,
    Logits,
    LossBytes,
    default_kernel,
    find_kernel,
    least_live_bytes,
    loss_bytes,
)
from tscale.core.parallelism import Parallelism
from tscale.errors import RequestError

RECORDED = recorded("losses.jsonl")
LOSSES = [record for record in RECORDED if "loss" in record and "trainer" not in record]
NAMES = [
    f"{record['loss']}-{record['dtype']}-{record['batch']}{'-trained' * record['trained']}{'-mixed' * ('mixed' in record)}"
    for record in LOSSES
]
BYTES = {"bf16": 2, "fp32": 4}


def logits_of(record: dict[str, Any], *, trained: bool | None = None) -> Logits:
    tokens, words, width = record["batch"] * record["length"], record["vocabulary"], record["width"]
    learns = record["trained"] if trained is None else trained
    return Logits(tokens * words, tokens, words, width, BYTES[record["dtype"]], learns, record.get("mixed", False))


def shape(event: list[Any]) -> list[int]:
    numbers: list[int] = json.loads(event[2].split(" ", 1)[1])
    return numbers


class Allocator:
    """PyTorch's caching allocator in short: the smallest free block that is large enough is cut, and neighbours are joined."""

    def __init__(self) -> None:
        self.free: list[tuple[int, int, int]] = []  # segment, offset, size
        self.segments: list[int] = []

    def take(self, size: int) -> tuple[int, int, int]:
        fitting = [block for block in self.free if block[2] >= size]
        if not fitting:
            self.segments.append(size)
            return len(self.segments), 0, size
        segment, offset, whole = min(fitting, key=lambda block: (block[2], block))
        self.free.remove((segment, offset, whole))
        if whole > size:
            self.free.append((segment, offset + size, whole - size))
        return segment, offset, size

    def give(self, block: tuple[int, int, int]) -> None:
        segment, offset, size = block
        for other in [other for other in self.free if other[0] == segment]:
            if other[1] + other[2] == offset or offset + size == other[1]:
                self.free.remove(other)
                offset, size = min(offset, other[1]), size + other[2]
        self.free.append((segment, offset, size))


def replayed(events: list[Any], counts: Callable[[list[int]], bool], grain: int = 1) -> LossBytes:
    """What is kept between the passes, live at most, and reserved, of arrays that count; their sizes rounded up to a grain."""
    live: dict[int, tuple[int, int, int]] = {}
    allocator, kept, most = Allocator(), 0, 0

    def total() -> int:
        return sum(size for _, _, size in live.values())

    for event in events:
        if event == "backward":
            kept = total()
        elif len(event) == 3 and counts(shape(event)):
            live[event[0]] = allocator.take(-(-event[1] // grain) * grain)
            most = max(most, total())
        elif len(event) == 1 and event[0] in live:
            allocator.give(live.pop(event[0]))
    return LossBytes(kept, most, sum(allocator.segments))


def test_the_recording_holds_every_loss() -> None:
    assert {record["loss"] for record in LOSSES} == set(KERNELS) - {
        "chunked-compiled",
        "compiled",
    }  # tests/core/test_recompute.py has the first
    assert len(LOSSES) == 11 * 2 * 2 * 2 + 2


@of_each(LOSSES)
def test_a_loss_takes_what_its_code_makes(record: dict[str, Any]) -> None:
    """Arrays over the vocabulary to the byte; transformers' old copy is one position short, which 2 MiB of a segment hold."""
    logits = logits_of(record)
    if record["loss"] == "fused-linear":
        frozen = loss_bytes("fused-linear", logits_of(record, trained=False))
        piece = (frozen.live - frozen.kept) // (
            logits.words * logits.number_bytes
        )  # a GPU makes its input's gradient in place
        found = replayed(record["events"], lambda shape: len(shape) == 2 and shape != [piece, 64])
        expected = loss_bytes("fused-linear", logits)
        assert (found.kept, found.live) == (expected.kept, expected.live)
        assert expected.reserved <= found.reserved < 1.02 * expected.reserved
        return
    found = replayed(record["events"], lambda shape: shape[-1] == logits.words, logits.numbers // 8)
    if (
        record["loss"] == "chunked-kept" and record["trained"]
    ):  # of one sequence, whose pieces are no copies, four bytes more
        expected, grain = loss_bytes("chunked-kept", logits), logits.numbers // 8
        assert found.kept - expected.kept in (0, grain)
        assert found.live - expected.live in (grain, 4 * logits.numbers)
        assert abs(found.reserved / expected.reserved - 1) < 0.11
        return
    assert found == loss_bytes(record["loss"], logits_of(record, trained=False))


OF_A_THOUSAND: list[tuple[str, tuple[int, int, int], tuple[int, int, int]]] = [
    ("plain", (4000, 12000, 14000), (4000, 12000, 12000)),
    ("plain-kept", (6000, 14000, 14000), (8000, 16000, 16000)),
    ("hf-old", (8000, 16000, 18000), (8000, 16000, 16000)),
    ("bf16", (2000, 6000, 6000), (4000, 12000, 12000)),
    ("parallel", (4000, 16000, 18000), (4000, 16000, 16000)),
    ("in-place", (4000, 6000, 6000), (4000, 4000, 4000)),
    ("one-kernel", (2000, 4000, 4000), (4000, 8000, 8000)),
    ("compiled", (2000, 4000, 4000), (4000, 8000, 8000)),
    ("chunked", (6000, 6000 + 1000, 7000), (8000, 8000 + 1000, 9000)),
    ("chunked-compiled", (2000, 2000 + 250 + 1600, 3850), (4000, 4000 + 500 + 3200, 7700)),
    ("chunked-kept", (8000, 12000, 18000), (8000, 12000, 16000)),
    ("chunked-recomputed", (0, 1500 + 1600, 1750 + 1600), (0, 1500 + 3200, 1500 + 3200)),
    ("fused-linear", (1600 + 160, 1760 + 200, 1960), (3200 + 320, 3520 + 400 + 3200, 7120)),
]  # fmt: skip


def test_a_thousand_logits_take_what_each_kernels_arrays_come_to() -> None:
    """Of 10 tokens and 100 words, in 16 and in 32 bits; the head is 8 wide, so that its gradient is 1,600 or 3,200 bytes."""
    assert {name for name, *_ in OF_A_THOUSAND} == set(KERNELS)
    for name, *expected in OF_A_THOUSAND:
        for a, found in zip((2, 4), expected, strict=True):
            assert loss_bytes(name, Logits(1000, 10, 100, 8, a, True)) == found, (name, a)
    assert loss_bytes("plain-kept", Logits(1000, 10, 100, 8, 2, True, mixed=True)) == (8000, 16000, 18000)
    assert loss_bytes("chunked-compiled", Logits(1000, 10, 100, 8, 2, False)) == (2000, 2250, 2250)
    assert loss_bytes("chunked-kept", Logits(1000, 10, 100, 8, 2, False)) == (8000, 10000, 10500)


def test_the_trainer_of_transformers_drops_the_logits_before_the_backward_pass() -> None:
    """In its own step, 12 bytes a logit are live at the most and 14 reserved, where a loop that refers to the output has 16 and 18."""
    (record,) = (one for one in RECORDED if "trainer" in one)
    n = record["batch"] * record["length"] * record["vocabulary"]
    found = replayed(record["events"], lambda shape: shape[-1] == record["vocabulary"])
    assert (found.live, found.reserved) == (12 * n, 14 * n)
    prepared = logits_of(record)._replace(mixed=True)
    assert least_live_bytes("plain-kept", prepared) == least_live_bytes("hf-old", prepared) == found.live
    assert loss_bytes("plain-kept", prepared)[1:] == (16 * n, 18 * n)


@pytest.mark.parametrize("name", KERNELS)
def test_what_is_live_at_the_least_is_no_more_than_what_is_live(name: str) -> None:
    logits = Logits(numbers=128_000, tokens=100, words=1280, width=64, number_bytes=2, trained=True)
    assert least_live_bytes(name, logits) <= loss_bytes(name, logits).live <= loss_bytes(name, logits).reserved


@pytest.mark.parametrize("record", [one for one in LOSSES if one["loss"] == "chunked-recomputed" and one["trained"]])
def test_a_trained_head_has_a_second_gradient_while_pieces_are_computed_again(record: dict[str, Any]) -> None:
    """The engine adds up the pieces' gradients; of so small a case, two and their sum are more than a piece of the logits."""
    logits = logits_of(record)
    head = logits.words * logits.width * logits.number_bytes
    found = replayed(record["events"], lambda shape: shape == [logits.words, logits.width] or shape[-1] == logits.words)
    expected = loss_bytes("chunked-recomputed", logits)
    assert expected.live - loss_bytes("chunked-recomputed", logits_of(record, trained=False)).live == head
    assert found.live == max(expected.live, 3 * head)


def test_peft_prepares_a_model_of_few_bits_in_fp32() -> None:
    """Tables, head and norms are cast, and with them the stream that each layer keeps; the head is cast back where it multiplies.

    Without it they stay in bf16. In both the logits leave the model in fp32.
    """
    plain, prepared = (record for record in RECORDED if "prepared" in record)
    for record, number in ((plain, "bfloat16"), (prepared, "float32")):
        for what in ("embed_tokens", "lm_head", "norms"):
            assert f"{what} torch.{number}" in record["parameters"]
        layers, (tokens, d) = record["num_hidden_layers"], (record["length"], record["hidden_size"])
        assert record["kept"][f"{number} [1, {tokens}, {d}]"] >= layers
        assert record["kept"][f"float32 [1, {tokens}, {record['vocab_size']}]"] == 1
    head = f"bfloat16 [{prepared['vocab_size']}, {prepared['hidden_size']}]"
    assert (plain["kept"].get(head, 0), prepared["kept"][head]) == (0, 1)


def defaults() -> Iterator[tuple[Parallelism, bool, str]]:
    yield Parallelism(), False, "plain-kept"
    yield Parallelism(data=8, zero=1), False, "plain-kept"
    yield Parallelism(), True, "plain-kept"
    yield Parallelism(data=8, zero=3), True, "plain-kept"
    yield Parallelism(data=8, zero=3), False, "plain"
    yield Parallelism(data=8, zero=3, tensor=8, sequence=True), False, "parallel"
    yield Parallelism(tensor=8), False, "in-place"
    yield Parallelism(pipeline=4, data=2, zero=1), False, "in-place"
    yield Parallelism(zero=3), False, "plain-kept"


@pytest.mark.parametrize(("plan", "adapters", "name"), list(defaults()))
def test_the_default_is_the_common_trainers(plan: Parallelism, adapters: bool, name: str) -> None:
    assert default_kernel(plan, adapters=adapters).name == name


def test_aliases_name_losses() -> None:
    assert ALIASES == {"eager": "plain-kept", "fused": "fused-linear"}
    assert find_kernel("fused") is KERNELS["fused-linear"]
    with pytest.raises(RequestError) as error:
        find_kernel("plian")
    assert str(error.value) == 'no loss "plian": did you mean plain?'


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(loss_kernels) == (0, 2)
