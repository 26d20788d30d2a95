"""What a budget of tokens in a step does, against a simulation of a closed loop, step by step; and in predictions of deployments."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from tscale.analysis.questions import question
from tscale.calibration.serving_case import ServingCase
from tscale.calibration.serving_cases import case_of
from tscale.core.costs.serving_chunks import chunks_of, most_decoding, usual_chunk

FIXED, EACH, PREFILL = 8e-3, 2e-5, 4e-5
"""Seconds of a step, of each sequence that it decodes, and of each token of a prompt that it takes in."""


class Loop(NamedTuple):
    """Means of a simulated loop: sequences that decode at once, seconds of an output token and to the first one."""

    decoding: float
    tpot: float
    ttft: float


def simulated(concurrency: int, prompt: int, output: int, chunk: int) -> Loop:
    """A closed loop: sequences that decode come first in each step, and prompts, first come, first served, have the rest of it.

    Each user sends the next request when the last was answered, at first one after the other over the time of an answer.
    """
    random = np.random.default_rng(3)
    now, queue, left, began = 0.0, list[list[float]](), list[list[float]](), 0
    ttfts, tpots, decoding = list[float](), list[float](), list[int]()
    requests = max(12 * concurrency, 200)
    spread = output / concurrency
    step = 0
    while len(tpots) < requests:
        while began < concurrency and began * spread <= step:
            queue.append([now, prompt])
            began += 1
        room, taken = chunk - len(left), 0.0
        starting = []
        for one in queue:
            part = min(one[1], room - taken)
            one[1] -= part
            taken += part
            if one[1] == 0:
                starting.append(one)
        now += FIXED + EACH * len(left) + PREFILL * taken
        step += 1
        decoding.append(len(left))
        for one in left:
            one[1] -= 1
        for one in [one for one in left if one[1] <= 0]:
            left.remove(one)
            tpots.append((now - one[0]) / one[2])
            queue.append([now, prompt])
        for one in starting:
            queue.remove(one)
            ttfts.append(now - one[0])
            answer = int(random.integers(int(0.9 * output), int(1.1 * output) + 1))
            left.append([now, answer, answer])
    half = len(ttfts) // 2
    return Loop(
        float(np.mean(decoding[len(decoding) // 2 :])), float(np.mean(tpots[half:])), float(np.mean(ttfts[half:]))
    )


def asked_case(concurrency: int, prompt: int, output: int, chunk: int) -> ServingCase:
    """A deployment whose steps mix, with so many requests at once."""
    row = {"model": "llama-3-8b", "gpu": "h100", "engine": "vllm", "weights": "bf16", "tensor": "1"}
    sizes = {"isl": prompt, "osl": output, "concurrency": concurrency, "chunk": chunk}
    return case_of({**row, **{name: str(size) for name, size in sizes.items()}})


CROWDED = [(64, 4000, 400, 512), (128, 2000, 400, 512), (256, 1000, 200, 1024), (64, 8000, 200, 1024)]


@pytest.mark.parametrize(("concurrency", "prompt", "output", "chunk"), CROWDED)
def test_steps_that_take_in_no_more_than_a_chunk_let_prompts_wait(
    concurrency: int, prompt: int, output: int, chunk: int
) -> None:
    measured = simulated(concurrency, prompt, output, chunk)
    batch = most_decoding(chunk, prompt, output)
    assert batch < concurrency
    assert batch == pytest.approx(measured.decoding, rel=0.06)
    tpot = FIXED + EACH * batch + PREFILL * batch / output * prompt
    assert tpot == pytest.approx(measured.tpot, rel=0.05)
    assert (concurrency / batch - 1) * output * tpot == pytest.approx(measured.ttft, rel=0.08)


@pytest.mark.parametrize(
    ("concurrency", "prompt", "output", "chunk"), [(8, 50_000, 50, 512), (16, 20_000, 20, 512), (2, 40_000, 40, 256)]
)
def test_prompts_that_take_more_steps_than_their_answers_are_taken_in_one_after_the_other(
    concurrency: int, prompt: int, output: int, chunk: int
) -> None:
    """Less than one request decodes on average: the others' prompts and answers are waited for, then its own prompt's chunks."""
    measured = simulated(concurrency, prompt, output, chunk)
    batch = most_decoding(chunk, prompt, output)
    assert batch < 1
    assert batch == pytest.approx(measured.decoding, rel=0.02)
    tpot = FIXED + EACH + PREFILL * batch / output * prompt
    assert tpot == pytest.approx(measured.tpot, rel=0.01)
    first = chunks_of(prompt, chunk) * FIXED + prompt * PREFILL
    case = asked_case(concurrency, prompt, output, chunk)
    assert case.most_decoding == batch
    assert case.batch == 1
    assert case.crowd * output * tpot + first == pytest.approx(measured.ttft, rel=0.02)


def test_a_request_that_is_alone_waits_for_no_other_whatever_a_step_takes() -> None:
    assert [asked_case(1, 50_000, 50, chunk).crowd for chunk in (1, 512)] == [0, 0]


@pytest.mark.parametrize(("concurrency", "prompt", "output", "chunk"), [(8, 1000, 400, 2048), (32, 1000, 800, 4096)])
def test_steps_with_room_for_all_prompts_do_not(concurrency: int, prompt: int, output: int, chunk: int) -> None:
    measured = simulated(concurrency, prompt, output, chunk)
    assert most_decoding(chunk, prompt, output) > concurrency
    assert measured.decoding == pytest.approx(concurrency, rel=0.06)
    tpot = FIXED + EACH * concurrency + PREFILL * concurrency / output * prompt
    assert tpot == pytest.approx(measured.tpot, rel=0.05)


@pytest.mark.parametrize("chunk", [256, 512, 1024, 4096])
def test_a_prompt_that_is_alone_takes_a_step_for_each_chunk(chunk: int) -> None:
    measured = simulated(1, 4096, 100, chunk)
    assert chunks_of(4096, chunk) * FIXED + 4096 * PREFILL == pytest.approx(measured.ttft, rel=1e-9)


def test_defaults_are_those_of_the_servers() -> None:
    """EngineArgs.get_batch_defaults of vLLM (70 GiB, and not an A100), ServerArgs of SGLang, max_num_tokens of TensorRT-LLM."""
    gib = 2**30
    assert [usual_chunk("vllm", size * gib) for size in (24, 80)] == [2048, 8192]
    assert usual_chunk("vllm", 80 * gib, older=True) == 2048
    assert [usual_chunk("sglang", size * gib) for size in (24, 40, 80, 141, 180)] == [2048, 4096, 8192, 8192, 16384]
    assert usual_chunk("sglang", 180 * gib, 8) == 2048
    assert usual_chunk("trtllm", 80 * gib) == 8192


def served(**asked: Any) -> tuple[float, float]:
    """Seconds to the first token and of an output token."""
    made = {"model": "llama-3.1-70b", "gpu": "h100", "tensor": 8, "dtype": "fp8", "input": 8192, "output": 512}
    serve = question("serve")
    data: Any = serve.figures(serve.made({**made, **asked}))
    return data["ttft_seconds"]["middle"].value, data["tpot_seconds"]["middle"].value


CHUNKS = (256, 512, 2048, 8192, 16384)


@pytest.mark.parametrize("engine", ["vllm", "trtllm", "sglang"])
def test_a_larger_chunk_makes_no_first_token_later(engine: str) -> None:
    for concurrency in (1, 64):
        times = [served(engine=engine, concurrency=concurrency, chunk=chunk)[0] for chunk in CHUNKS]
        assert times == sorted(times, reverse=True)
        assert times[0] > 1.05 * times[-1]


@pytest.mark.parametrize("engine", ["vllm", "trtllm"])
def test_a_larger_chunk_makes_no_output_token_sooner_where_steps_mix(engine: str) -> None:
    times = [served(engine=engine, concurrency=64, chunk=chunk)[1] for chunk in CHUNKS]
    assert times == sorted(times)
    assert times[-1] > 1.5 * times[0]


def test_prompts_that_are_taken_in_while_nothing_decodes_hold_up_answers_by_a_pass_a_chunk() -> None:
    """SGLang: with chunks half as long, as many passes more as there are prompts, each of which every answer waits for."""
    short, long = (served(engine="sglang", concurrency=64, chunk=chunk) for chunk in (1024, 2048))
    alone = [served(engine="sglang", concurrency=1, chunk=chunk)[0] for chunk in (1024, 2048)]
    launches = alone[0] - alone[1]  # of four passes more
    assert short[1] > long[1]
    assert short[1] - long[1] == pytest.approx(63 / 512 * launches, rel=0.5)


def test_without_a_chunk_it_is_that_of_the_server() -> None:
    assert served(concurrency=64) == served(concurrency=64, chunk=8192)


def test_requests_that_wait_for_their_prompts_are_told() -> None:
    asked = {"model": "llama-3.1-70b", "gpu": "h100", "tensor": 8, "dtype": "fp8", "input": 8192, "output": 512}
    serve = question("serve")
    crowded = "\n".join(map(str, serve.analyze(serve.made({**asked, "concurrency": 64, "chunk": 512})).notes))
    assert "Steps take 512 tokens at the most (--chunk), so that 34 of 64 requests wait" in crowded
    usual = "\n".join(map(str, serve.analyze(serve.made({**asked, "concurrency": 64})).notes))
    assert "--chunk" not in usual
