"""What serving is bounded by, put together by hand: means of steps, rounds of guesses, efficiency, towers, memory and the batch that turns."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.catalogue.hardware import find_hardware
from tscale.core.dtypes import DTYPES
from tscale.errors import RequestError
from tscale.estimates.serve.parts import steps_of_passes
from tscale.estimates.serve.times import (
    Ask,
    Draft,
    Memory,
    Served,
    Times,
    _formats,
    memory_of,
    served,
    sixteen_bit_peak,
    times_of,
    turning_batch,
)

SMALL = (
    "name: small\nlayers: {}\nd_model: 64\nvocabulary: 512\ncontext: 4096\ntied: true\nattention: {{heads: 4, kv_heads: 2}}\n"
    "positions: {{kind: rotary}}\nnorm: {{kind: rmsnorm}}\nfeed_forward: {{d_ff: 128, gated: true}}\n"
)
MODEL, GUESSER = spec(SMALL.format(6)), spec(SMALL.format(2))
H100 = find_hardware("h100")
MEMORY = H100.device().memory_bytes_per_second


def _served(**given: Any) -> Served:
    return served(MODEL, H100, Ask(**{"batch": 3, "context": 100, "output": 9} | given))


def test_sequences_are_shared_among_several_devices_alone() -> None:
    for devices, asked in ((1, True), (1, False), (2, True), (2, False), (4, True)):
        assert _served(gpus=devices, by_sequences=asked).setup.by_sequences == (devices > 1 and asked)


def test_a_round_yields_each_guess_as_often_as_all_before_it_were_accepted() -> None:
    for tokens, chance in ((1, "0.5"), (4, "0.8"), (7, "0")):
        drawn = sum(float(chance) ** before for before in range(tokens + 1))
        assert Draft(None, tokens, Fraction(chance)).expected == pytest.approx(drawn)
    assert Draft(None, 4, Fraction(1)).expected == 5


def test_an_answer_of_one_token_has_one_step_that_would_follow() -> None:
    assert [Ask(output=output).steps for output in (1, 2, 3, 10)] == [1, 1, 2, 9]


def test_the_peak_of_16_bits_is_the_larger_of_the_two_formats() -> None:
    device = H100.device()
    for peaks, found in (({"bf16": 3, "fp16": 5}, 5), ({"bf16": 3}, 3), ({"fp16": 5, "fp8": 9}, 5)):
        assert sixteen_bit_peak(device._replace(flops_per_second=peaks)) == found
    with pytest.raises(RequestError, match="its vendor states no 16-bit peak"):
        sixteen_bit_peak(device._replace(flops_per_second={"fp8": 9, "fp32": 2}))


def test_a_format_is_multiplied_at_its_own_peak_or_in_16_bits_or_in_fp32() -> None:
    """A device of fp32, two formats of 16 bits and fp8: what it has no peak of is made 16 bits first."""
    device = H100.device()._replace(flops_per_second={"fp32": 1, "bf16": 3, "fp16": 5, "fp8": 9})
    for name, kept, peak in (("fp8", "fp8", 9), ("fp32", "fp32", 1), ("int4", "int4", 5), ("q4_k", "q4_k", 5)):
        dtypes = _formats(device, H100, DTYPES[name], DTYPES["bf16"])
        assert dtypes.peak(kept) == peak, name
        assert dtypes.peaks[""] == (1 if name == "fp32" else 5)
    for name, what, format in (("fp32", "fp32", "fp32"), ("bf16", "16-bit", "bf16")):
        with pytest.raises(RequestError, match=f"no {what} peak, so no time can be estimated: .* {format}=TFLOPS"):
            _formats(device._replace(flops_per_second={"fp8": 9}), H100, DTYPES[name], DTYPES["bf16"])


def test_where_an_answer_begins_and_its_middle() -> None:
    """A prompt of 100 tokens, 30 of them cached, and answers of 9: the 5th is in the middle, after 4 more that are cached."""
    one = _served(prefix=30)
    assert (one.source, one.start, one.middle) == (0, 100, 104)
    assert _served(output=10).middle == 104
    prompt = one.prompt
    assert (prompt.batch, prompt.new, prompt.before, prompt.logits, prompt.decoding) == (3, 70, 30, 1, False)
    step = one.step(104)
    assert (step.batch, step.new, step.before, step.logits, step.decoding) == (3, 1, 104, 1, True)
    assert one.step(104, 5, 7)[:4] == (7, 5, 104, 5)
    behind = one._replace(spec=SimpleNamespace(kind="encoder-decoder", image_positions=0))  # type: ignore[arg-type]
    assert (behind.source, behind.start, behind.middle) == (100, 1, 5)
    assert behind.prompt[:4] == (3, 1, 0, 1)
    assert behind.prompt.source == behind.step(1).source == 100


def _seconds(one: Served, cached: int, new: int = 1) -> float:
    """A step of decoding: of each line the longer of computing and of what is read, at the efficiency that is given."""
    lines = one.works(one.step(cached, new))
    return sum(max(line.flops / line.peak, (line.weights + line.cache) / MEMORY) for line in lines) / float(
        one.ask.efficiency
    )


def test_a_token_takes_the_mean_of_the_steps_of_an_answer() -> None:
    for output in (1, 2, 9):
        for efficiency in (Fraction(1), Fraction(1, 4)):
            one = _served(output=output, efficiency=efficiency)
            steps = [_seconds(one, 100 + step) for step in range(max(output - 1, 1))]
            found = times_of(one)
            assert found.per_token == pytest.approx(sum(steps) / len(steps), rel=1e-12)
            assert (found.first, found.last) == (pytest.approx(steps[0]), pytest.approx(steps[-1]))  # type: ignore[comparison-overlap]
            assert found.prefill == pytest.approx(one.pass_seconds(one.prompt))
            assert found.drafting == found.towers == 0
            assert found.answer(output) == pytest.approx(found.prefill + (output - 1) * found.per_token)


def test_the_time_of_an_answer_has_the_drafts_prefill_in_it() -> None:
    assert Times(2.0, 0.5, 0.4, 0.6, drafting=3.0).answer(5) == 2.0 + 3.0 + 4 * 0.5


@pytest.mark.parametrize("guesser", [None, GUESSER])
def test_a_round_of_guesses_is_their_steps_and_one_of_all_of_them(guesser: Any) -> None:
    """Three guesses, each accepted in half of the cases: 1 + 1/2 + 1/4 + 1/8 tokens a round, at the start, the middle and the end."""
    one = _served(draft=Draft(guesser, 3, Fraction(1, 2)))
    small = served(GUESSER, H100, Ask(batch=3, context=100, output=9))

    def round_seconds(cached: int) -> float:
        guessed = sum(_seconds(small, cached + n) for n in range(3)) if guesser is not None else 0.0
        return guessed + _seconds(one, cached, 4)

    found = times_of(one)
    for seconds, cached in ((found.first, 100), (found.per_token, 104), (found.last, 107)):
        assert seconds == pytest.approx(round_seconds(cached) / 1.875, rel=1e-12)
    prefill = sum(line.seconds(MEMORY) for line in small.works(small.prompt))
    assert found.drafting == pytest.approx(prefill if guesser is not None else 0.0)


def test_towers_run_for_each_prompt_on_all_devices_before_the_prefill() -> None:
    """989.4 TFLOP/s in 16 bits; 3 prompts of 10^12 FLOPs on 2 devices at a quarter of it."""
    plain = {"gpus": 2, "efficiency": Fraction(1, 4)}
    without, found = times_of(_served(**plain)), times_of(_served(**plain, tower_flops=10**12))
    assert found.towers == pytest.approx(3 * 1e12 / (2 * 989.4e12 / 4))
    assert found.prefill == pytest.approx(without.prefill + found.towers)
    assert (without.towers, found.per_token) == (0, without.per_token)


def test_a_draft_is_held_beside_the_model() -> None:
    """Each with its weights, 16 bits of 512 + 6 or 2 layers' parameters, its cache of all tokens, and its workspace."""
    alone, guesser, both = (
        memory_of(served(model, H100, Ask(batch=3, context=100, output=9, draft=draft)))
        for model, draft in (
            (MODEL, None),
            (GUESSER, None),
            (MODEL, Draft(GUESSER, 3, Fraction(1, 2))),
        )
    )
    layer = 64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 128 + 2 * 64
    assert alone.weights == 2 * (512 * 64 + 6 * layer + 64)
    assert alone.cache == 3 * 109 * 6 * 2 * 32 * 2
    assert guesser.cache * 3 == alone.cache
    assert both[:3] == tuple(a + b for a, b in zip(alone[:3], guesser[:3], strict=True))
    assert both.total == sum(both[:3])
    assert memory_of(_served(draft=Draft(None, 3, Fraction(1, 2))))[:3] == alone[:3]
    assert Memory(1, 2, 3, both.capacity).fits
    assert not Memory(10**12, 2, 3, both.capacity).fits


@pytest.mark.parametrize("matrices", [False, True])
@pytest.mark.parametrize(("gpus", "by_sequences"), [(1, False), (2, False), (2, True)])
def test_the_least_batch_that_computes_as_long_as_it_reads(matrices: bool, gpus: int, by_sequences: bool) -> None:
    """Tried one by one, on a chip whose memory is a hundred times as fast for what it computes."""
    one = served(MODEL, H100, Ask(context=4, output=3, gpus=gpus, by_sequences=by_sequences))
    device = one.device._replace(memory_bytes_per_second=100 * MEMORY)
    one = one._replace(setup=one.setup._replace(cluster=one.setup.cluster._replace(device=device)))

    def waits(batch: int) -> bool:
        lines = [line for line in one.works(one.step(5, batch=batch)) if line.weights or not matrices]
        return (
            sum(line.flops / line.peak for line in lines)
            < sum(line.weights + line.cache for line in lines) / device.memory_bytes_per_second
        )

    each = 2 if by_sequences else 1
    tried = range(each, 400, each)
    assert turning_batch(one, matrices=matrices) == next((batch for batch in tried if not waits(batch)), None)


def test_each_line_that_does_anything_has_its_time_derived() -> None:
    """Tables and norms are read, products computed and read, and devices send: lines of any of these, in both phases."""
    for gpus in (1, 2):
        one = _served(gpus=gpus)
        steps = [step.name.removesuffix(", time") for step in steps_of_passes(one) if step.name.endswith(", time")]
        lines = [*one.works(one.prompt), *one.works(one.step(one.middle))]
        assert steps == [line.name for line in lines if line.flops or line.weights or line.cache or line.sent]
        assert ("all-reduces" in steps) == (gpus > 1)
