"""Training memory that others measured, beside what is counted: how near, and that no run is called impossible."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import ceil, log
from pathlib import Path
from typing import Final

import pytest

from tests.agreement import NEAR, case_of, rows
from tscale.calibration.memory_rows import GIB, MemoryJudged, judge, within
from tscale.core.costs.reserve import PEAKS_WITHIN
from tscale.errors import TscaleError

ROWS: Final = rows()
FAR: Final = {"llama-3.1-405b qlora": 1.27}
"""What is not met, by how much: torchtune's 405B, whose configuration of the time has one sequence (1.06), where the README says two."""
BELOW: Final = ("llama-3.1-8b lora r8 bf16 2048 mb2 full",)
"""torchtune's run that held less than its weights, its layers' inputs and the logits of 4,096 tokens in 16 bits come to."""


@cache
def all_judged() -> list[MemoryJudged]:
    """What is counted of each row."""
    return [judge(row) for row in ROWS]


def ratio_of(case: str) -> float:
    (found,) = (one.ratio for row, one in zip(ROWS, all_judged(), strict=True) if case_of(row).startswith(case))
    return found


def test_16_of_17_measured_peaks_are_met_within_a_tenth() -> None:
    """The goal is 85%."""
    far = [case_of(row) for row, one in zip(ROWS, all_judged(), strict=True) if not within(one, NEAR)]
    assert (len(all_judged()), len(far)) == (17, 1)
    assert Fraction(len(all_judged()) - len(far), len(all_judged())) >= Fraction(85, 100)
    assert far[0].startswith(next(iter(FAR)))


@pytest.mark.parametrize("case", FAR)
def test_how_far_what_is_not_met_is(case: str) -> None:
    assert ratio_of(case) == pytest.approx(FAR[case], abs=0.01)


def test_half_of_them_are_met_within_a_twentieth() -> None:
    assert sum(within(one, Fraction(1, 20)) for one in all_judged()) >= 10


@pytest.mark.parametrize("place", range(len(ROWS)), ids=[case_of(row) for row in ROWS])
def test_no_run_is_called_impossible_or_holds_less_than_the_least(place: int) -> None:
    found = all_judged()[place]
    assert found.verdict in ("fits", "may_fit")
    assert found.bound_broken == case_of(ROWS[place]).startswith(BELOW)
    assert found.low <= found.middle <= found.high


ROW: Final = {
    "source": "a table", "model": "llama-3.1-8b", "gpu_gib": "80", "gpus": "8", "context": "8192", "micro_batch": "1", "data": "8",
    "zero": "3", "precision": "fp32-master", "recompute": "full", "loss": "plain", "what": "peak_reserved", "value": "48", "unit": "GiB",
}  # fmt: skip


def judged(**changes: str) -> MemoryJudged:
    return judge({**ROW, **changes})


def test_a_row_by_hand() -> None:
    """16 bytes a parameter among 8; 14 bytes a logit; inputs of 32 layers, a norm and the head; weights gathered twice over; a twentieth of what is reserved besides."""
    parameters, words, d, layer = 8_030_261_248, 128_256, 4096, 218_103_808
    states = 2 * parameters
    kept = 8192 * (2 * 34 * d + 4 + 8 + 8)
    gathered = 2 * (2 * words * d + 2 * layer) + 2 * 2 * words * d
    reserved = states + 14 * 8192 * words + kept + gathered
    found = judged()
    assert found.middle == pytest.approx(reserved / 0.95, rel=1e-4)
    assert (found.unit, found.measured, found.what) == ("bytes", 48 * GIB, "peak_reserved")


def test_a_peak_of_live_memory_has_no_fragments() -> None:
    assert judged(what="peak_active").middle < 0.95 * judged().middle


def test_four_peaks_of_five_are_within_a_factor_that_is_measured() -> None:
    """The 11th of 12 errors, ⌈13·0.8⌉: by as much a peak that is yet to be measured is off at the most, four times of five."""
    peaks = sorted(abs(log(one.ratio)) for one in all_judged() if one.unit == "bytes")
    assert (len(peaks), ceil(13 * 0.8)) == (12, 11)
    assert log(PEAKS_WITHIN) == pytest.approx(peaks[10], abs=0.001)
    found = judged()
    assert (found.low, found.high) == (found.middle / float(PEAKS_WITHIN), found.middle * float(PEAKS_WITHIN))


def test_the_interval_holds_four_of_five_peaks_that_no_term_knows() -> None:
    """Of all but litgpt's runs of all weights, which contradict their settings."""
    peaks = [
        one for row, one in zip(APART, map(judge, APART), strict=True) if one.what.startswith("peak") and not _odd(row)
    ]
    assert len(peaks) == 78
    assert sum(one.covered for one in peaks) == 71


def _odd(row: dict[str, str]) -> bool:
    return "litgpt" in row["source"] and not row["method"]


def test_what_is_offloaded_or_stepped_at_once_is_less() -> None:
    plain = judged(gpus="1", data="1", zero="0", precision="bf16", loss="fused-linear")
    alone = {"gpus": "1", "data": "1", "zero": "0", "precision": "bf16", "loss": "fused-linear"}
    states = judged(**alone, offload="states").middle
    assert plain.middle - states == 12 * 8_030_261_248
    assert judged(**alone, optimizer_in_backward="yes").middle < plain.middle - 2 * 7 * 10**9
    assert plain.middle - judged(**alone, offload="activations").middle == 2 * 4096 * 8192 * 31
    assert judged(**alone, optimizer="AdamW8bit").middle < plain.middle - 5.9 * 8.03e9
    assert judged(**alone, optimizer="paged_adamw_8bit").middle == plain.middle - 8 * 8_030_261_248


WRONG: Final = {
    "what": ("speed", '"speed" is not counted of a row'),
    "model": ("llama-9", 'model "llama-9" is no built-in one'),
    "precision": ("fp7", 'precision "fp7" is not a recipe'),
    "gpus": ("9", "9 GPUs are not made up of the degrees that the row says"),
    "context": ("", "context is not said"),
    "value": ("much", 'value is a number above 0, not "much"'),
    "unit": ("stone", 'not "stone"'),
    "recompute": ("some", "--recompute takes none"),
    "zero": ("4", 'zero is a stage from 0 to 3, not "4"'),
    "micro_batch": ("1.5", 'micro_batch is a whole number, not "1.5"'),
    "optimizer": ("hammer", 'optimizer "hammer" is not counted'),
    "kernels": ("fast", 'kernels are fused, eager or composite, not "fast"'),
    "offload": ("hopes", '--offload names weights, states or activations, not "hopes"'),
    "method": ("dora", 'method is lora, qlora r32, lora r16 on q,k,v, full or empty, not "dora"'),
    "optimizer_in_backward": ("perhaps", 'not "perhaps"'),
    "loss": ("plian", 'no loss "plian"'),
}


@pytest.mark.parametrize("column", WRONG)
def test_a_row_that_says_what_is_not_counted(column: str) -> None:
    text, reason = WRONG[column]
    with pytest.raises(TscaleError) as error:
        judged(**{column: text})
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


SERVED: Final = [
    # vllm-project/vllm#23278, #27508; #17327; noonghunna/club-3090#612, of which the row does not say that the cache is in fp8
    ({"source": "vllm-project/vllm logs", "model": "gpt-oss-120b", "precision": "mxfp4", "what": "weights"}, 65.965, 0.002),
    ({"source": "vllm-project/vllm logs", "model": "qwen3-30b-a3b", "precision": "bf16", "tensor": "4", "what": "weights"}, 14.2474, 0.002),
    ({"model": "qwen3.6-35b", "precision": "fp8", "context": "131072", "what": "cache"}, 1.381, 0.06),
]  # fmt: skip


@pytest.mark.parametrize(("row", "measured", "near"), SERVED, ids=[row["model"] for row, _, _ in SERVED])
def test_parts_of_what_is_served(row: dict[str, str], measured: float, near: float) -> None:
    """Weights as vLLM pads them; a cache in the format of its row, with recurrent states in fp32 and without the ends of pages."""
    found = judge({**row, "value": str(measured), "unit": "GiB"})
    assert found.middle / GIB == pytest.approx(measured, rel=near)
    table = 131_072 * 64 * 2 if row["model"] == "gpt-oss-120b" else 131_072 * 128 * 2 if row["what"] == "weights" else 0
    assert found.high - found.middle == pytest.approx(0.5 * 10 ** -len(str(measured).split(".")[1]) * GIB + table)


def test_a_cache_of_no_stated_format_is_in_8_to_16_bits() -> None:
    row = {"model": "qwen3.6-35b", "context": "131072", "what": "cache", "value": "1.381", "unit": "GiB"}
    found = judge(row)
    assert found.covered and found.middle > 1.8 * found.low


def test_where_the_host_takes_the_step_it_has_the_gradients() -> None:
    """8,030,261,248 parameters: 12 bytes each of states and master, and 2 of gradients that a device has where the host has the states alone.

    A table's, the largest gradient, is on its way.
    """
    alone = {"gpus": "1", "data": "1", "zero": "0", "precision": "bf16", "loss": "fused-linear"}
    weights, both = judged(**alone, offload="weights").middle, judged(**alone, offload="weights,states").middle
    assert weights - both == (12 + 2) * 8_030_261_248 - 2 * 128_256 * 4096


def test_a_row_names_the_matrices_of_its_adapters() -> None:
    """Those of Hu 2021 where nothing is named, and all where each is named."""
    row = {"gpus": "1", "data": "1", "zero": "0", "precision": "bf16"}
    few, more = judged(**row, method="lora r16 on q,v"), judged(**row, method="lora r16 on q,k,v,o,mlp")
    assert few.middle < more.middle == judged(**row, method="lora r16 on all").middle
    assert few.middle == judged(**row, method="lora r16").middle


def test_vllm_loads_a_table_of_positions_and_towers_beside_weights() -> None:
    """8,030,261,248 parameters and 131,072 positions of 128 sines and cosines, 2 bytes each, of the 14.9889 GiB that vLLM prints."""
    row = {
        "source": "vllm",
        "model": "llama-3.1-8b",
        "precision": "bf16",
        "what": "weights",
        "value": "14.9889",
        "unit": "GiB",
    }
    found = judge(row)
    assert found.middle == pytest.approx(2 * (8_030_261_248 + 131_072 * 128), rel=1e-6)
    assert found.covered and found.error < 1e-5
    assert judge({**row, "source": "llama.cpp"}).middle == pytest.approx(2 * 8_030_261_248, rel=1e-6)
    gemma = {**row, "model": "gemma-4-26b-a4b"}
    assert judge(gemma).middle - judge({**gemma, "note": "language model alone"}).middle > GIB


def test_a_file_of_a_mixture_has_its_head_in_more_bits_and_a_vocabulary() -> None:
    """70,553,706,496 parameters in 4.5 bits, of which the head's 128,256·8,192 in 6.5625: the 37.22 GiB that ollama prints."""
    row = {
        "source": "ollama",
        "model": "llama-3.1-70b",
        "precision": "q4_0",
        "what": "file_size",
        "value": "37.22",
        "unit": "GiB",
    }
    found = judge(row)
    assert found.middle == pytest.approx((70_553_706_496 * 4.5 + 128_256 * 8192 * 2.0625) / 8, rel=2e-4)
    assert found.high - found.middle == pytest.approx(64 * 128_256 + 0.005 * GIB)


LITGPT: Final = {
    "source": "Lightning-AI/litgpt", "model": "llama-2-7b", "context": "512", "micro_batch": "2", "precision": "pure-bf16", "loss": "bf16",
    "kernels": "composite", "method": "lora r32 on q,v", "what": "peak_active", "value": "18.41", "unit": "GiB",
}  # fmt: skip


def test_dropout_of_adapters_keeps_what_is_left_and_a_mask() -> None:
    """In place of the input of q and v: a byte for each of 4,096 numbers of 1,024 tokens in 32 layers.

    q and k stay with v, of which they are parts of one array; what the adapters of q and v give is put into another; and a logit has 4 bytes
    more at the loss.
    """
    plain = judge({**LITGPT, "source": "a table"}).middle
    of_loss = 4 * 1024 * 32_000
    assert judge(LITGPT).middle - plain == 1024 * 32 * (4096 + 2 * (4096 + 4096) + 2 * (4096 + 4096)) + of_loss


def test_a_product_of_bitsandbytes_before_0_43_2_keeps_its_input() -> None:
    """Of q, k and v, of o, of both matrices up and of that down: of these q's and o's are kept anyhow, and all four of the micro-batch before.

    The head is in 4.5 bits, and unpacked in 16 twice, when 4 bytes a logit are not there. Of the last litgpt of 2023 nothing came before.
    """
    row = {**LITGPT, "method": "qlora r32 on q,v", "precision": "nf4-single"}
    head, tokens, logits = 32_000 * 4096, 1024 * 32, 1024 * 32_000
    inputs, joined = 2 * tokens * (4096 + 11_008) + 3 * tokens * 4096, 2 * tokens * 4 * 4096
    before = 2 * tokens * (3 * 4096 + 11_008)
    more = inputs + joined + before + head * (4.5 / 8 - 2 + 4) - 4 * logits + 4 * logits
    assert judge(row).middle - judge({**row, "source": "a table"}).middle == pytest.approx(more, rel=1e-6)
    first = judge({**row, "source": "Lightning-AI/litgpt tutorials/resource-tables.md"})
    assert judge(row).middle - first.middle == before
    assert judge(row).bound == first.bound
    assert judge(row).middle > judge({**row, "precision": "nf4"}).middle


def test_a_head_of_litgpt_is_a_matrix_of_its_own() -> None:
    """Keys and values of one head are copied for 8, and what q's and v's adapters give is put in place; a mask, and 4 bytes more a logit."""
    row = {**LITGPT, "model": "gemma-2b", "method": "lora r8"}
    plain = judge({**row, "source": "a table"}).middle
    of_attention = 2 * 2 * (8 - 1) * 256 + 2 * (2048 + 256) + 2048
    assert judge(row).middle - plain == 2 * 256_000 * 2048 + 1024 * 18 * of_attention + 4 * 1024 * 256_000


def test_scores_that_are_capped_are_kept_by_litgpt() -> None:
    """Gemma 2's tanh, its softmax in fp32 and that in 16 bits, of each pair; else as of the model before it, with keys and values of four heads."""
    row = {**LITGPT, "model": "gemma-2-2b", "method": "lora r8"}
    plain = judge({**row, "source": "a table"}).middle
    of_attention = 2 * 2 * (8 - 4) * 256 + 2 * (2048 + 1024) + 2304
    scores = (2 + 4 + 2) * 8 * 512**2 * 2 * 26
    assert judge(row).middle - plain == 2 * 256_000 * 2304 + 1024 * 26 * of_attention + 4 * 1024 * 256_000 + scores


def test_litgpt_adds_up_whole_gradients_on_several_devices() -> None:
    """Of Llama 2's 6,738,415,616 parameters, frozen or not: 2 bytes each beside what adapters have; all but its own half where all are trained."""
    row = {**LITGPT, "gpus": "2", "data": "2", "zero": "3", "recompute": "full"}
    parameters = 6_738_415_616
    assert judge(row).middle - judge({**row, "source": "a table", "loss": "chunked-kept"}).middle == 2 * parameters
    full = {**row, "method": "", "kernels": "eager"}
    assert judge(full).middle - judge({**full, "source": "a table", "loss": "chunked-kept"}).middle == pytest.approx(
        parameters, rel=1e-6
    )


@pytest.mark.parametrize(
    ("source", "loss", "more"),
    [("torchtitan", "plain", 1), ("unsloth", "fused-linear", 1), ("unsloth", "plain-kept", 0)],
)
def test_who_copies_grouped_keys(source: str, loss: str, more: int) -> None:
    """3,072 numbers each of keys and values of 8,192 tokens in 32 layers of Llama 3.1 8B; transformers with FlashAttention 2 copies none."""
    row = {
        "gpus": "1",
        "data": "1",
        "zero": "0",
        "precision": "bf16",
        "recompute": "none",
        "optimizer": "AdamW",
        "loss": loss,
    }
    assert judged(**row, source=source).middle - judged(**row).middle == more * 2 * 2 * 3072 * 8192 * 32


def test_norms_of_torchtune_are_its_own_steps_and_frozen_gains_ask_for_nothing() -> None:
    """2·4,096 bytes a token of each of 65 norms less than torch's composition; beside adapters an upcast of 4·4,096 bytes alone."""
    row = {
        "gpus": "1",
        "data": "1",
        "zero": "0",
        "precision": "pure-bf16",
        "recompute": "none",
        "model": "llama-2-7b",
        "context": "2048",
    }
    own, torchs = (
        judged(**row, kernels=kernels, source="torchtune", loss="plain") for kernels in ("eager", "composite")
    )
    assert own.middle == torchs.middle
    frozen = {**row, "method": "lora r8", "loss": "plain"}
    fused, eager, composite = (judged(**frozen, kernels=kernels).middle for kernels in ("fused", "eager", "composite"))
    assert eager == composite
    assert eager - fused == 2048 * (65 * (4 - 2) * 4096 + 32 * 2 * 11_008)


def test_adapters_have_no_gradients_at_the_loss_of_a_step_of_one_micro_batch() -> None:
    """As torchtune's on one device: 2 bytes of each of 2·64·(4,096 + 4,096 + 4,096 + 1,024)/2 numbers in 32 layers come later.

    It copies 3,072 numbers more each of a token's keys and values.
    """
    row = {
        **LITGPT,
        "source": "a table",
        "model": "llama-3.1-8b",
        "method": "lora r64 on q,v",
        "loss": "chunked-compiled",
        "kernels": "",
    }
    alone = judge({**row, "source": "torchtune", "loss": "chunked"}).middle
    assert judge(row).middle - alone == 2 * 64 * (4096 + 4096 + 4096 + 1024) * 32 - 2 * 2 * 3072 * 1024 * 32


SAMPLED: Final = [("llama-3-8b", 1.2), ("qwen3-8b", 1.42)]
"""38.8 bytes of each of 256 sequences' logits, of 128,256 and 151,936 words, and what the last layer gave of 2,048 tokens, in GiB."""


@pytest.mark.parametrize(("model", "gib"), SAMPLED)
def test_what_vllm_profiles_samples_256_sequences(model: str, gib: float) -> None:
    row = {
        "source": "vllm-project/vllm logs",
        "model": model,
        "precision": "bf16",
        "context": "2048",
        "what": "workspace",
        "value": "1.3",
    }
    assert judge({**row, "unit": "GiB"}).middle / GIB == pytest.approx(gib, abs=0.01)
    assert judge({**row, "unit": "GiB", "source": "another"}).middle / GIB < 0.5


def test_a_concurrency_by_hand() -> None:
    """Qwen3 8B on 4 devices of 21.48 GiB: 36 layers of 2·2·128 numbers a device keep 36,864 bytes a token; vLLM said 6.44 requests."""
    row = {
        "source": "vllm", "model": "qwen3-8b", "gpu_gib": "21.48", "tensor": "4", "precision": "fp16", "context": "65536",
        "what": "concurrency", "value": "6.44", "unit": "requests", "note": "gpu_memory_utilization 0.93",
    }  # fmt: skip
    found = judge(row)
    assert found.unit == "tokens"
    assert found.measured == pytest.approx(6.44 * 65536)
    assert found.covered and found.error < 0.01
    per_token = 36 * 2 * 2 * 128 * 2
    sampled, step = 38.8 * 256 * 151_936 + 2 * 2048 * 4096, 2 * 2048 * (2 * 4096 + 3 * 3072 + 4096) + 4 * 151_936
    assert found.high - found.middle == pytest.approx((286 * 2**20 + sampled - step) / per_token)
    more = (3 * 256 * 38.8 * 151_936 + 2 * 1833 * 2**20 - 286 * 2**20) / per_token
    assert found.middle - found.low == pytest.approx(more)
    large = {**row, "gpu_gib": "79.1", "source": "vllm 0.9 log"}
    assert judge({**large, "source": "vllm 0.7 log"}).middle > judge(large).middle
    assert judge({**large, "note": "gpu_memory_utilization 0.93, A100"}).middle > judge(large).middle
    assert judge({**row, "unit": "tokens", "value": "422052"}).measured == 422_052
    with pytest.raises(TscaleError, match="gpu_gib and context are said"):
        judge({**row, "gpu_gib": ""})


APART: Final = rows(Path(__file__).parents[1] / "measured" / "memory_apart.csv")
CONTRADICT: Final = {("Lightning-AI/litgpt", "llama-3.2-3b"), ("Lightning-AI/litgpt", "phi-3-mini")}
"""Full runs on 24 GB whose weights and AdamW's states alone are 6 bytes each of 3.2 and 3.8 billion parameters, and their gradients 2."""


def test_all_rows_apart_are_judged_and_no_run_that_can_have_been_is_called_impossible() -> None:
    found = [judge(row) for row in APART]
    impossible = {(one.groups["source"], one.groups["model"]) for one in found if one.verdict == "does_not_fit"}
    assert (len(found), impossible) == (161, CONTRADICT)


def test_files_and_caches_apart_are_met_within_a_thirtieth() -> None:
    found = [one for one in map(judge, APART) if one.what in ("file_size", "cache", "weights")]
    assert len(found) == 38
    assert max(one.error for one in found) < 0.032
    assert sorted(one.error for one in found)[len(found) // 2] < 0.001


BELOW_APART: Final = {
    ("Lightning-AI/litgpt", "llama-3.2-1b"), ("Lightning-AI/litgpt", "llama-3.2-3b"), ("Lightning-AI/litgpt", "phi-3-mini"),
    ("pytorch/torchtune", "llama-2-70b"),
}  # fmt: skip
"""Runs that held less than they state: AdamW's states and the weights alone are more of the first three, the inputs of 80 layers of 4 x 4,096
tokens and an eighth of the weights of the last, whose batches were of shorter sequences."""


def test_no_run_apart_that_can_have_been_holds_less_than_the_least() -> None:
    found = [one for one in map(judge, APART) if one.bound_broken]
    assert {(one.groups["source"], one.groups["model"]) for one in found} == BELOW_APART
    assert len(found) == len(BELOW_APART)


def test_an_allocator_keeps_what_is_over_of_a_piece_of_two_mebibytes() -> None:
    """Of Qwen2.5 32B on 2 devices q, k and v are 35 MiB, o 25, up and gate 270 and down 135: three of them have a MiB more, in 64 layers."""
    served = {
        "source": "vllm 0.7 log",
        "model": "qwen2.5-32b",
        "tensor": "2",
        "precision": "bf16",
        "what": "weights",
        "value": "30.7098",
        "unit": "GiB",
    }
    found, table = judge(served), 2 * 32_768 * 128
    assert found.middle - (found.low + 0.00005 * 2**30) == pytest.approx(3 * 2**20 * 64 + table, abs=3 * 2**20)


def test_sglang_has_a_share_of_what_is_free_for_weights_and_cache() -> None:
    """Of 22.03 GiB a context, a driver and buffers take 0.71 at the least: 85% of the rest, 15.25 GiB of weights less and 0.13 over; 64 KiB a token."""
    row = {
        "source": "sglang 0.4 log", "model": "qwen2.5-32b", "tensor": "4", "precision": "bf16", "gpu_gib": "22.03", "context": "32768",
        "what": "concurrency", "value": "46611", "unit": "tokens", "note": "mem_fraction_static 0.85",
    }  # fmt: skip
    taken = (240 + 286 + 205) / 1024
    free, weights = (22.03 - taken) * 0.85, 32_763_876_352 * 2 / 4 / 2**30
    assert judge(row).middle == pytest.approx((free - weights - 0.13) * 2**20 / 64, rel=0.01)
    assert judge({**row, "note": ""}).middle > 1.3 * judge(row).middle


def test_nothing_is_sorted_where_flashinfer_samples() -> None:
    """Of 256 sequences 38.8 - 10 bytes a logit less, of a model whose pass takes less than either."""
    row = {
        "source": "vllm 0.10 log", "model": "qwen2.5-7b", "precision": "bf16", "gpu_gib": "79.25", "context": "16384",
        "what": "concurrency", "value": "464848", "unit": "tokens", "note": "gpu_memory_utilization 0.5, A100",
    }  # fmt: skip
    more = judge({**row, "note": row["note"] + ", FlashInfer samples"}).middle - judge(row).middle
    assert more == pytest.approx(256 * 152_064 * 28.8 / 57_344, rel=0.01)
