"""`serve`: a contract for programs, what options change, what is refused."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import tscale
from tests.answers.test_explain import holds
from tests.helpers import answer, run
from tscale.answers.serve.answer import serve_report
from tscale.catalogue.hardware import find_hardware
from tscale.core.dtypes import DTYPES
from tscale.core.tracing import TracedInt
from tscale.estimates.serve.times import Ask, Draft

KEYS = {
    "model", "gpu", "gpus", "batch", "context", "prefill_seconds", "seconds_per_token", "tokens_per_second", "bound",
    "weight_bytes", "kv_cache_bytes",
}  # fmt: skip
LLAMA = ["llama31-8b", "--gpu", "h100"]


def served(*args: str) -> Any:
    return answer("serve", *args)


def test_json_has_what_programs_read() -> None:
    data = served(*LLAMA, "--batch", "4", "--context", "2k", "--output", "128")
    assert set(data) >= KEYS
    assert data["weight_bytes"] == 2 * 8_030_261_248
    assert data["kv_cache_bytes"] == 4 * (2048 + 128) * 131_072
    assert data["tokens_per_second"] == pytest.approx(4 / data["seconds_per_token"])
    assert data["bound"] == "memory"
    assert sum(line["seconds"] for line in data["prefill"]) == pytest.approx(data["prefill_seconds"])


def test_a_single_token_takes_as_long_as_its_weights() -> None:
    """At a batch of 1 and no context to speak of, 16 GB at 3.35 TB/s: 4.5 ms; in 4.5 bits, a quarter of it."""
    alone = served(*LLAMA, "--context", "1", "--output", "2")
    without_table = 2 * (8_030_261_248 - 128_256 * 4096)
    assert alone["seconds_per_token"] == pytest.approx(without_table / 3.35e12, rel=0.001)
    small = served(*LLAMA, "--context", "1", "--output", "2", "--dtype", "q4_k")
    assert small["seconds_per_token"] == pytest.approx(without_table / 3.35e12 * 4.5 / 16, rel=0.01)


def test_efficiency_and_price_scale() -> None:
    bound = served(*LLAMA, "--price", "2")
    half = served(*LLAMA, "--price", "2", "--efficiency", "50%")
    for key in ("prefill_seconds", "seconds_per_token", "usd_per_million_output_tokens"):
        assert half[key] == pytest.approx(2 * bound[key])
    assert bound["usd_per_million_output_tokens"] == pytest.approx(bound["seconds_per_token"] / 3600 * 2 * 1e6)


def test_a_cached_prefix_shortens_the_prefill_alone() -> None:
    whole, rest = served(*LLAMA, "--context", "8k"), served(*LLAMA, "--context", "8k", "--prefix", "6k")
    assert rest["prefill_seconds"] < 0.3 * whole["prefill_seconds"]
    assert rest["seconds_per_token"] == whole["seconds_per_token"]
    assert served(*LLAMA, "--context", "8k", "--prefix", "75%") == rest
    flops = [sum(line["flops"] for line in data["prefill"] if line["part"] == "cache") for data in (whole, rest)]
    before = sum(line["flops"] for line in served(*LLAMA, "--context", "6k")["prefill"] if line["part"] == "cache")
    assert flops[0] == flops[1] + before


def test_speculation_pays_by_what_is_accepted() -> None:
    """Leviathan 2023, equation 1: 4 guesses at a chance of 0.8 yield 3.36 tokens a round."""
    args = ["llama31-70b", "--gpu", "h100", "--gpus", "8"]
    plain = served(*args)
    guessed = served(*args, "--draft", "llama31-8b", "--acceptance", "0.8")
    assert guessed["seconds_per_token"] < plain["seconds_per_token"]
    assert "3.36 tokens per round" in " ".join(
        run("serve", *args, "--draft", "llama31-8b", "--acceptance", "0.8").out.split()
    )
    assert (
        served(*args, "--draft", "llama31-8b", "--acceptance", "0.1")["seconds_per_token"] > plain["seconds_per_token"]
    )


def test_a_batch_at_which_computing_takes_over() -> None:
    """GPT-2 in a short context: the ridge of an H100 is 295 FLOPs a byte, so that about as many tokens share the weights."""
    found = served("llama31-8b", "--gpu", "h100", "--context", "1", "--output", "2")["compute_bound_from_batch"]
    assert 295 <= found <= 330
    at, below = (
        served("llama31-8b", "--gpu", "h100", "--context", "1", "--output", "2", "--batch", str(n))
        for n in (found, found - 1)
    )
    for data, computes in ((at, True), (below, False)):
        computing = sum(line["flops"] for line in data["decode"]) / 989.4e12
        moving = sum(line["weight_bytes"] + line["cache_bytes"] for line in data["decode"]) / 3.35e12
        assert (computing >= moving) is computes


@pytest.mark.parametrize(("name", "gpus"), [("gpt3", 1), ("llama-2-70b", 2), ("llama31-8b", 1), ("deepseek-v2", 8)])
def test_what_fits_is_what_memory_says(name: str, gpus: int) -> None:
    """Whoever asks both commands gets one answer: the same bytes, and the same exit code."""
    args = [name, "--gpu", "h100", "--gpus", str(gpus), "--batch", "4"]
    done = run("serve", *args, "--context", "3840", "--output", "256", "--format", "json")
    other = run("memory", *args, "--context", "4096", "--cache-dtype", "bf16", "--format", "json")
    assert done.code == other.code
    found, held = json.loads(done.out), json.loads(other.out)
    keys = ("weight_bytes", "kv_cache_bytes", "workspace_bytes")
    assert sum(found[key] for key in keys) == held["per_device_bytes"]["total"]


def test_what_does_not_fit_says_so_and_is_answered() -> None:
    done = run("serve", "gpt3", "--gpu", "h100")
    assert done.code == 3
    title, first = done.out.splitlines()[:2]
    assert title.endswith(": does not fit")
    assert first.startswith("It does not fit: 36")


def test_csv_has_what_a_device_holds_below_the_times() -> None:
    rows = dict(
        line.rsplit(",", 1) for line in run("serve", "llama31-8b", "--gpu", "h100", "--format", "csv").out.splitlines()
    )
    held = served("llama31-8b", "--gpu", "h100")
    assert (rows["quantity"], rows["weights"]) == ("value", str(held["weight_bytes"]))
    assert rows["kv_cache_at_the_last_token"] == str(held["kv_cache_bytes"])


def test_what_may_fit_says_so_first() -> None:
    args = ("serve", "llama31-8b", "--gpu", "h100")
    held = served(*args[1:])
    needed = sum(held[key] for key in ("weight_bytes", "kv_cache_bytes", "workspace_bytes"))
    memory = needed + 10**9
    done = run(*args, "--gpu-set", f"memory_gb={memory // 10**9}", "--gpu-set", f"reported_mib={memory // 2**20}")
    title, first = done.out.splitlines()[:2]
    assert (done.code, title.rsplit(": ", 1)[1]) == (0, "may fit, depending on the reserve")
    assert first.startswith("It may fit: ")
    fits = run(*args)
    assert "may fit" not in fits.out and "does not fit" not in fits.out


def test_a_format_that_a_device_does_not_multiply_by() -> None:
    a100, h100 = (served("llama31-8b", "--gpu", gpu, "--dtype", "fp8", "--context", "8k") for gpu in ("a100", "h100"))
    assert a100["prefill_seconds"] / h100["prefill_seconds"] == pytest.approx(1978.9 / 312, rel=0.25)
    said = " ".join(run("serve", "llama31-8b", "--gpu", "a100", "--dtype", "fp8").out.split())
    assert "does not multiply by fp8: weights are made 16 bits first" in said


@pytest.mark.parametrize("name", ["mamba-2.8b", "qwen3-next-80b-a3b", "deepseek-v2", "gemma3-27b", "llama-4-scout", "recurrentgemma-2b", "rwkv-4-169m"])  # fmt: skip
def test_every_kind_of_mixer_is_served(name: str) -> None:
    data = run("serve", name, "--gpu", "mi300x", "--explain")
    assert data.code in (0, 3)
    assert "How each number was made" in data.out


@pytest.mark.parametrize(
    "name", ["llama-3.1-70b", "deepseek-v3", "mixtral-8x7b", "gemma-3-27b", "mamba-2.8b", "palm-540b"]
)
def test_every_derivation_evaluates_to_its_figure(name: str) -> None:
    """FLOPs and bytes exactly, by names and by numbers; experts and seconds, which are no whole numbers, by numbers."""
    ask = Ask(DTYPES["q4_k"], DTYPES["fp8"], batch=24, context=5000, prefix=1000, efficiency=Fraction(3, 4))
    if name != "mamba-2.8b":
        ask = ask._replace(gpus=8, by_sequences=True)
    report = serve_report(tscale.load(name), find_hardware("h100"), ask)
    for step in report.steps:
        if isinstance(step.figure.value, TracedInt):
            holds(step)
        else:
            made = eval(step.numbers.replace("·", "*").replace("^", "**"))  # noqa: S307 (our own text)
            assert made == pytest.approx(step.figure.value, rel=1e-6), step.name


def test_guesses_that_cost_nothing() -> None:
    """Without a draft, a round is a pass over the guesses and one more token, and yields what Leviathan 2023 says."""
    plain = served(*LLAMA, "--context", "1k")
    guessed = served(*LLAMA, "--context", "1k", "--draft-tokens", "3", "--acceptance", "0.5")
    assert plain["seconds_per_token"] / guessed["seconds_per_token"] == pytest.approx(1 + 0.5 + 0.25 + 0.125, rel=0.01)
    sure = served(*LLAMA, "--context", "1k", "--draft-tokens", "3", "--acceptance", "1")
    assert plain["seconds_per_token"] / sure["seconds_per_token"] == pytest.approx(4, rel=0.01)


def test_tokens_of_a_round_are_those_of_a_simulation() -> None:
    """Guesses are accepted until the first that is not, and the model gives one token more."""
    rng = np.random.default_rng(3)
    for tokens, chance in ((4, 0.8), (7, 0.5), (1, 0.9)):
        accepted = rng.random((100_000, tokens)) < chance
        yielded = np.cumprod(accepted, axis=1).sum(axis=1) + 1
        assert Draft(None, tokens, Fraction(chance)).expected == pytest.approx(yielded.mean(), rel=0.01)


def test_a_draft_has_a_prefill_and_memory_of_its_own() -> None:
    args = ["llama31-70b", "--gpu", "h100", "--gpus", "8", "--context", "4k", "--output", "256"]
    plain = served(*args)
    guessed = served(*args, "--draft", "llama31-8b", "--acceptance", "0.8")
    draft = served("llama31-8b", *args[1:])
    assert guessed["prefill_seconds"] == plain["prefill_seconds"]
    waited = guessed["seconds_per_answer"] - 255 * guessed["seconds_per_token"]
    assert waited == pytest.approx(plain["prefill_seconds"] + draft["prefill_seconds"])
    for key in ("weight_bytes", "kv_cache_bytes"):
        assert guessed[key] == plain[key] + draft[key]


def test_shares_of_the_time_are_of_all_of_it() -> None:
    data = served("mixtral-8x7b", "--gpu", "h100", "--gpus", "8", "--batch", "64", "--context", "8k")
    for key in ("decode_shares", "prefill_shares"):
        assert sum(data[key].values()) == pytest.approx(1)
        assert set(data[key]) == {"weights", "cache", "compute", "communication"}
    assert all(data["decode_shares"][key] > 0 for key in ("weights", "cache", "communication"))


def test_a_context_beyond_the_trained_one_is_said() -> None:
    assert "was trained on 1,024 tokens" in run("serve", "gpt2", "--gpu", "h100", "--context", "1k").out
    assert "was trained on" not in run("serve", "gpt2", "--gpu", "h100", "--context", "512").out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["bert-base", "--gpu", "h100"], "there is no decoding to time"),
        (["t5-small", "--gpu", "h100", "--prefix", "10"], "are known of decoders alone"),
        ([*LLAMA, "--batch", "0"], "--batch must be a whole number above 0"),
        ([*LLAMA, "--gpus", "3"], "3 devices cannot share attention.q"),
        ([*LLAMA, "--dtype", "fp9"], "no number format"),
        ([*LLAMA, "--cache-dtype", "nf4"], "a cache is not kept in nf4"),
        ([*LLAMA, "--efficiency", "40"], "write 40% if per cent is meant"),
        ([*LLAMA, "--context", "2k", "--prefix", "2k"], "leaves nothing of a prompt"),
        ([*LLAMA, "--acceptance", "0.5"], "--draft names the model that guesses, or --draft-tokens how many"),
        ([*LLAMA, "--draft", "gpt2"], "--draft needs --acceptance"),
        ([*LLAMA, "--draft-tokens", "3"], "--draft-tokens needs --acceptance"),
        ([*LLAMA, "--draft", "bert-base", "--acceptance", "0.5"], "only a decoder can guess"),
        ([*LLAMA, "--cache-dtype", "q8_0", "--set", "attention.head_dim=100"], "rows of 100"),
        (["gpt2", "--gpu", "tpu-v4", "--dtype", "fp32"], "--gpu-set fp32=TFLOPS gives one"),
        (["gpt2", "--gpu", "rtx-4090", "--gpus", "2"], "--gpu-set network_gb_per_s=N gives it"),
    ],
)
def test_what_makes_no_sense_is_refused(args: list[str], says: str) -> None:
    done = run("serve", *args)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.splitlines()) == 1


LLAMA_TABLE = 128_256 * 4096


def test_a_round_of_guesses_reads_the_weights_and_a_cache_with_the_guesses_in_it() -> None:
    """Llama 3.1 8B at the bandwidth of an H100: rounds of 3 guesses and a token more, of which 1.875 are expected to be accepted,
    after the prompt of 1,000 tokens, in the middle of 200 more, and before the last."""
    found = served(
        *LLAMA, "--context", "1000", "--output", "201", "--draft-tokens", "3", "--acceptance", "0.5", "--bound"
    )
    for key, cached in (("_first", 1000), ("", 1100), ("_last", 1199)):
        read = 2 * (8_030_261_248 - LLAMA_TABLE + 4 * 4096) + (cached + 4) * 131_072
        assert found[f"seconds_per_token{key}"] == pytest.approx(read / 3350e9 / (1 + 1 / 2 + 1 / 4 + 1 / 8), rel=1e-9)


def test_a_draft_guesses_one_token_at_a_time() -> None:
    """Llama 3.2 1B reads its 1,235,814,400 weights, a row of its tied table, and its cache, once for each of two guesses."""
    args = (*LLAMA, "--context", "1000", "--output", "2", "--draft-tokens", "2", "--acceptance", "1", "--bound")
    guesses = sum(2 * (1_235_814_400 + 2048) + (1000 + nth) * 16 * 2 * 512 * 2 for nth in (1, 2))
    read = 2 * (8_030_261_248 - LLAMA_TABLE + 3 * 4096) + 1003 * 131_072
    assert served(*args, "--draft", "llama-3.2-1b")["seconds_per_token"] == pytest.approx(
        (guesses + read) / 3350e9 / 3, rel=1e-9
    )


def test_an_encoder_decoder_reads_its_source_once_and_begins_with_one_token() -> None:
    """T5 11B, 24 layers a stack of 128 heads of 128 on a width of 1,024, for 3 sources of 512 tokens; in the middle of 256 more
    tokens of an answer there are 130 keys, those of the first and of the last included."""
    found = served("t5-11b", "--gpu", "h100", "--batch", "3", "--context", "512", "--output", "257", "--bound")
    prefill, decode = ({line["name"]: line for line in found[phase]} for phase in ("prefill", "decode"))
    d, a, d_ff = 1024, 128 * 128, 65_536
    assert prefill["encoder.self_attention.q"]["flops"] == 2 * 3 * 512 * 24 * d * a
    assert prefill["encoder.feed_forward.up"]["flops"] == 2 * 3 * 512 * 24 * d * d_ff
    assert prefill["encoder.self_attention.scores"]["flops"] == 2 * 3 * 512**2 * 24 * 2 * a
    assert prefill["decoder.self_attention.q"]["flops"] == 2 * 3 * 1 * 24 * d * a
    assert prefill["decoder.self_attention.scores"]["flops"] == 2 * 3 * 1 * 24 * 2 * a
    assert prefill["decoder.cross_attention.k"]["flops"] == 2 * 3 * 512 * 24 * d * a
    assert prefill["decoder.cross_attention.scores"]["flops"] == 2 * 3 * 512 * 24 * 2 * a
    assert decode["decoder.self_attention.scores"]["cache_bytes"] == 3 * 130 * 24 * 2 * a * 2


@pytest.mark.parametrize(
    "asked",
    ["serve llama-3.1-70b --gpus 4 --bound", "train llama-3.1-70b --gpus 8 --tensor 8 --batch 8 --bound --tokens 1e9"],
)
def test_a_caveat_of_other_architectures_is_a_detail(asked: str) -> None:
    caveat = "two all-reduces are counted and one would do"
    assert caveat not in run(*asked.split(), "--gpu", "h100").out
    assert caveat in run(*asked.split(), "--gpu", "h100", "--details").out
