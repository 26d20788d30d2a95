"""What a device holds in the layouts that people serve in, beside what engines print and what a loop over devices adds up to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

import tscale
from tests.helpers import run
from tscale.answers.memory.answer import memory_report
from tscale.catalogue.hardware import find_hardware
from tscale.catalogue.models import built_in
from tscale.core.dtypes import DTYPES, find_format
from tscale.core.serving_layout import ServingLayout, serving_layout
from tscale.errors import RequestError
from tscale.estimates.memory.held import Held, Server, fullest, held, held_at
from tscale.estimates.memory.serving import Ask, server_of
from tscale.importer.reader import imported
from tscale.models.spec import ModelSpec

GIB: Final = 2**30


def spec_of(name: str) -> ModelSpec:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    return spec


def served(name: str | ModelSpec, context: int = 8192, **given: Any) -> Server:
    return server_of(spec_of(name) if isinstance(name, str) else name, Ask(**given), context)


def holds(name: str | ModelSpec, context: int = 8192, **given: Any) -> Held:
    return held(served(name, context, **given))


QWEN3_CODER_30B: Final = replace(spec_of("qwen3-30b-a3b"), context=262_144)


def test_what_changes_nothing_of_a_cache_is_named() -> None:
    said = run("memory", "gpt2", "--cache-form", "full", "--window-cache", "whole", "--details").out
    assert "GPT-2 small keeps no latents: --cache-form changes nothing." in said
    assert "GPT-2 small has no layers with a window: --window-cache changes nothing." in said
    assert "--window-cache" not in run("memory", "gpt-oss-20b", "--window-cache", "whole", "--details").out


def test_stages_of_unequal_layers_keep_their_own_cache() -> None:
    """vllm-project/vllm#34076: 16 and 32 layers on two cards keep 34,736 tokens in 3.18 GiB, both together."""
    server = served(QWEN3_CODER_30B, 34_736, dtype=DTYPES["fp8"], layout=serving_layout(stages=(16, 32)))
    caches = [held_at(server, place).kv_cache for place in range(2)]
    assert 2 * caches[0] == caches[1]
    assert sum(caches) / GIB == pytest.approx(3.18, abs=0.005)
    assert fullest(server) == 1


def test_deepseek_v3_on_32_cards() -> None:
    """TP 8 x PP 4 (deepseek-ai/DeepSeek-V3#205): the first card loads 16.96 GiB; no stage holds the logits but the last."""
    server = served("deepseek-v3", layout=serving_layout(32, pipeline=4))
    assert server.layout.tensor == 8
    assert server.weights(0).total / GIB == pytest.approx(16.96, rel=0.02)
    assert [bool(held_at(server, place).logits) for place in range(4)] == [False, False, False, True]


def test_experts_of_one_group_are_counted_in_the_singular() -> None:
    notes = memory_report(tscale.load("deepseek-v3"), Ask(layout=serving_layout(32, pipeline=4))).notes
    assert any("assigned to one group of ranks, each expert cut 8 ways" in note for note in notes)


def test_weights_of_experts_that_all_ranks_cut_as_vllm_loads_them() -> None:
    """Qwen3 30B-A3B in bf16 at TP 4: 14.2474 GiB a device (vllm-project/vllm#17327)."""
    assert holds("qwen3-30b-a3b", layout=serving_layout(4)).weights / GIB == pytest.approx(14.2474, rel=0.002)


@pytest.mark.parametrize(
    "layout",
    [
        serving_layout(16),
        serving_layout(16, expert=16),
        serving_layout(16, expert=4),
        serving_layout(16, attention_data=16, expert=16),
        serving_layout(16, attention_data=4),
        serving_layout(64, pipeline=2, attention_data=4, replicas=2, expert=8),
    ],
    ids=str,
)
def test_all_devices_hold_each_expert_once_a_copy(layout: ServingLayout) -> None:
    """DeepSeek-V3's routed experts are 58 layers of 256 matrices of 3·7,168·2,048, however they are spread."""
    server = served("deepseek-v3", dtype=DTYPES["bf16"], layout=layout)
    experts = sum(
        line.value
        for place in range(layout.pipeline)
        for line in server.weights(place).lines
        if line.name in ("experts.up", "experts.gate", "experts.down")
    )
    assert experts * layout.ranks == 2 * 58 * 256 * 3 * 7168 * 2048


def test_attention_data_divides_sequences_and_not_weights() -> None:
    alone, spread = (
        holds("deepseek-v3", batch=64, layout=layout)
        for layout in (serving_layout(16), serving_layout(16, attention_data=16, expert=16))
    )
    assert alone.kv_cache == 16 * spread.kv_cache  # a latent is whole on each device
    assert spread.weights > alone.weights
    assert (
        holds("deepseek-v3", batch=65, layout=serving_layout(16, attention_data=16)).kv_cache
        == spread.kv_cache * 5 // 4
    )


def test_replicas_divide_sequences_alone() -> None:
    one = holds("llama-3.1-8b", batch=8, layout=serving_layout(2))
    assert holds("llama-3.1-8b", batch=32, layout=serving_layout(8, replicas=4)) == one


def test_tensor_takes_what_is_left() -> None:
    layout = serving_layout(64, attention_data=4, pipeline=2, replicas=2)
    assert (layout.tensor, layout.ranks, layout.devices, layout.expert_tensor) == (4, 16, 64, 16)
    assert serving_layout(16, expert=8).expert_tensor == 2
    assert serving_layout(16, expert_tensor=2).expert == 8
    assert serving_layout(pipeline=2, tensor=4).devices == 8


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gpus": 10, "pipeline": 4}, "--gpus 10: --pipeline 4 take a multiple of 4: use --gpus 8"),
        ({"gpus": 16, "tensor": 4, "replicas": 2}, "--gpus 16: --tensor 4 --replicas 2 take 8: use --gpus 8"),
        (
            {"gpus": 16, "expert": 3},
            "--expert 3 does not divide the 16 ranks of a stage: use --expert 1, 2, 4, 8 or 16",
        ),
        ({"gpus": 16, "expert": 8, "expert_tensor": 4}, "use --expert 8 --expert-tensor 2"),
        ({"pipeline": 3, "stages": (16, 32)}, "--stages names 2 stages: use --pipeline 2"),
    ],
)
def test_degrees_that_contradict_one_another_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        serving_layout(**given)
    assert said in str(refused.value)


REFUSED: Final = [
    ("llama-3.1-70b", {"gpus": 6, "pipeline": 2}),
    ("llama-3.1-8b", {"gpus": 66, "pipeline": 66}),
    ("deepseek-v3", {"gpus": 24, "attention_data": 24, "expert": 24}),
    ("deepseek-v3", {"gpus": 48, "attention_data": 2, "expert": 48}),
    ("gemma-3-27b", {"gpus": 24, "pipeline": 2, "replicas": 2}),
]


@pytest.mark.parametrize(("name", "given"), REFUSED, ids=[name for name, _ in REFUSED])
def test_what_a_refusal_points_to_is_accepted(name: str, given: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as refused:
        served(name, layout=serving_layout(**given))
    words = str(refused.value).rpartition(": use ")[2].removeprefix("--").split(" --")
    advised: dict[str, Any] = {key.replace("-", "_"): int(value) for key, value in (word.split() for word in words)}
    assert holds(name, layout=serving_layout(**advised)).total > 0


def test_more_devices_are_advised_with_all_of_their_degrees() -> None:
    asked = Ask(batch=96, hardware=find_hardware("h100"), layout=serving_layout(4, pipeline=2, tensor=2))
    report = memory_report(spec_of("llama-3.1-70b"), asked)
    assert report.exit_code == 3
    found: Any = report.data
    option = next(change["option"] for change in found["changes"] if "--pipeline" in change["option"])
    assert option == "--gpus 8 --tensor 4 --pipeline 2"
    larger = asked._replace(layout=serving_layout(8, tensor=4, pipeline=2))
    assert memory_report(spec_of("llama-3.1-70b"), larger).exit_code == 0


def test_the_fullest_stage_is_shown_line_by_line() -> None:
    """Lines, parts and derivations are those of one device."""
    asked = Ask(layout=serving_layout(32, pipeline=4), batch=3)
    found: Any = memory_report(spec_of("deepseek-v3"), asked).data
    layout, total, lines = found["layout"], found["per_device_bytes"], found["lines"]
    assert (layout["tensor"], layout["pipeline"], layout["stage"], found["devices"]) == (8, 4, 2, 32)
    assert sum(line["bytes"].value for line in lines) == total["total"].value
    report = memory_report(spec_of("deepseek-v3"), asked)
    assert "the fullest of 32 devices" in report.title
    assert report.steps[-1].figure.value == total["total"].value


def test_a_release_by_layer_is_cut_into_stages() -> None:
    """Of a mixture by layer, all stages together hold what one device does."""
    spec = spec_of("llama-3.1-8b")
    kept = find_format("q4_k_m", what="--dtype")
    stages = served(spec, dtype=kept, layout=serving_layout(4, pipeline=4))
    apart = sum(stages.weights(place).total for place in range(4))
    assert apart == served(spec, dtype=kept).weights().total
    tied = served("gemma-3-1b", dtype=kept, layout=serving_layout(2, pipeline=2))
    head = {line.name: line.value for line in tied.weights(1).lines}["head"]
    assert (
        sum(tied.weights(place).total for place in range(2)) - head == served("gemma-3-1b", dtype=kept).weights().total
    )


# ---- how caches are kept ----

QWEN3_6: Final = {
    "model_type": "qwen3_5_moe_text", "architectures": ["Qwen3_5MoeForCausalLM"], "hidden_size": 2048, "num_hidden_layers": 40,
    "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256, "linear_num_key_heads": 16,
    "linear_num_value_heads": 32, "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
    "vocab_size": 248320, "max_position_embeddings": 262144, "tie_word_embeddings": False, "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512, "num_experts_per_tok": 8, "num_experts": 256, "mamba_ssm_dtype": "float32",
    "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"] * 10,
}  # fmt: skip


def test_states_are_kept_as_the_file_says() -> None:
    """30 layers of 32 heads of 128 x 128 in fp32, 62.9 MB, whatever the cache is in (noonghunna/club-3090#612)."""
    spec = imported(QWEN3_6, name="qwen3.6-35b", where="config.json")
    assert spec.states == "fp32"
    state = {line.name: line.value for line in served(spec, cache_dtype=DTYPES["fp8"]).cache().lines}["delta_net.state"]
    assert state == 30 * 32 * 128 * 128 * 4
    silent = imported({**QWEN3_6, "mamba_ssm_dtype": None}, name="x", where="config.json")
    for asked, bits in ((None, 16), (DTYPES["fp32"], 32)):
        kept = served(silent, cache_dtype=DTYPES["fp8"], state_dtype=asked).cache().lines
        assert {line.name: line.value for line in kept}["delta_net.state"] == state * bits // 32
    gguf = served(
        silent, dtype=find_format("q4_k_m", what="--dtype")
    )  # llama.cpp keeps states and convolutions in fp32
    assert {line.name: line.value for line in gguf.cache().lines}["delta_net.conv_state"] == 30 * 8192 * 4 * 4


def test_a_state_is_shown_in_the_format_that_it_is_in() -> None:
    found: Any = memory_report(spec_of("qwen3-next-80b-a3b"), Ask(cache_dtype=DTYPES["fp8"])).data
    dtypes = {line["name"]: line["format"] for line in found["lines"]}
    assert (dtypes["attention.cache"], dtypes["delta_net.state"]) == ("fp8", "bf16")


@pytest.mark.parametrize(("form", "numbers"), [("latent", 512 + 64), ("full", 128 * (192 + 128))])
def test_latents_are_kept_or_spread_out(form: Any, numbers: int) -> None:
    """DeepSeek-V3: 576 numbers of a token, or 128 heads of keys of 192 and values of 128, as llama.cpp kept them (#8817)."""
    whole = holds("deepseek-v3", 4096, cache_form=form).kv_cache
    assert whole == 61 * numbers * 4096 * 2
    shared = holds("deepseek-v3", 4096, cache_form=form, layout=serving_layout(8)).kv_cache
    assert shared == (whole if form == "latent" else whole // 8)


@pytest.mark.parametrize(("window", "local"), [("cut", 128), ("whole", 4096)])
def test_windows_are_cut_or_kept_whole(window: Any, local: int) -> None:
    """gpt-oss-20b: every other of 24 layers sees 128 tokens; 8 heads of 64."""
    held_ = holds("gpt-oss-20b", 4096, window_cache=window).kv_cache
    assert held_ == 2 * 8 * 64 * 2 * (12 * local + 12 * 4096)


@pytest.mark.parametrize(("name", "measured"), [("gpt-oss-120b", 65.965)])
def test_kernels_pad_experts(name: str, measured: float) -> None:
    """What vLLM loads (vllm-project/vllm#23278, #27508), on a device that runs Marlin's kernel."""
    assert holds(name, padding="marlin").weights / GIB == pytest.approx(measured, rel=0.002)
    assert holds(name).weights / GIB < 0.93 * measured
    with pytest.raises(RequestError, match="routed experts in mxfp4"):
        holds(name, padding="marlin", dtype=DTYPES["bf16"])
    with pytest.raises(RequestError, match=r"which Llama 3\.1 8B has not"):
        holds("llama-3.1-8b", padding="marlin")


def test_a_cache_split_by_sequences() -> None:
    """16 devices and 8 heads: by heads two keep the same, by sequences each keeps all heads of 2 of 32 sequences."""
    by_heads, by_sequences = (
        holds("llama-3.1-70b", batch=32, layout=serving_layout(16), by_sequences=split).kv_cache
        for split in (False, True)
    )
    assert by_heads == 2 * by_sequences == 32 * 8192 * 327_680 // 8


def test_a_prefix_is_kept_once() -> None:
    """Of 32 sequences of 8,192 tokens, 4,096 are the same; in pages of 1,000 four of them are full."""
    for page, tokens in ((None, 4096 + 32 * 4096), (1000, 4000 + 32 * 5000)):
        found = holds("llama-3.1-70b", batch=32, prefix=4096, page=page).kv_cache
        assert found == tokens * 327_680
    windowed = holds("gpt-oss-20b", 4096, batch=2, prefix=2048).kv_cache
    assert windowed == 2 * 8 * 64 * 2 * (2 * 12 * 128 + 12 * (2048 + 2 * 2048))
    with pytest.raises(RequestError, match="leaves nothing of sequences"):
        holds("llama-3.1-70b", prefix=8192)


def test_a_draft_is_held_beside_the_model() -> None:
    asked: dict[str, Any] = {"batch": 8, "layout": serving_layout(8)}
    alone, small = holds("llama-3.1-70b", **asked), holds("llama-3.2-1b", **asked)
    both = holds("llama-3.1-70b", **asked, draft=spec_of("llama-3.2-1b"), draft_tokens=4)
    assert (both.weights, both.kv_cache) == (alone.weights + small.weights, alone.kv_cache + small.kv_cache)
    assert both.logits == 5 * alone.logits + small.logits
    with pytest.raises(RequestError, match="use --pipeline 1"):
        holds("llama-3.1-70b", layout=serving_layout(2, pipeline=2), draft=spec_of("llama-3.2-1b"))


# ---- contexts ----


def test_without_a_context_a_long_one_is_counted_at_8192_and_shown_at_others() -> None:
    asked = Ask(hardware=find_hardware("h100"), batch=32)
    report = memory_report(spec_of("llama-3.1-8b"), asked)
    found: Any = report.data
    rows = [(row["context"].value, row["per_device_bytes"].value, row["verdict"].value) for row in found["contexts"]]
    assert [context for context, _, _ in rows] == [4096, 8192, 16_384, 32_768, 65_536, 131_072]
    assert [verdict for _, _, verdict in rows] == [
        "fits",
        "fits",
        "does_not_fit",
        "does_not_fit",
        "does_not_fit",
        "does_not_fit",
    ]
    assert report.exit_code == 0
    for context, total, _ in rows:
        assert total == holds("llama-3.1-8b", context, batch=32, chunk=8192).total  # vLLM's step on an H100
    long = memory_report(spec_of("llama-3.1-8b"), asked._replace(context=131_072))
    short = memory_report(spec_of("gpt2"), Ask())
    assert long.exit_code == 3
    for one in (long, short):
        data: Any = one.data
        assert data["contexts"] == []


RAN: Final = [
    # model, its format, the device, tensor, attention data and expert degrees, sequences, tokens of a prompt and an answer together
    ("deepseek-v3", "fp8", "b200", 4, 1, 1, 8, 9216),
    ("deepseek-v3", "fp8", "b200", 8, 1, 1, 256, 9216),
    ("deepseek-v3", "nvfp4", "b200", 4, 1, 4, 128, 9216),
    ("deepseek-v3", "fp8", "h200", 8, 1, 8, 64, 9216),
    ("deepseek-v3", "nvfp4", "b200", 1, 4, 4, 256, 9216),
    ("deepseek-v3", "fp8", "b200", 1, 8, 8, 256, 9216),
    ("llama-3.1-70b", "fp8", "h200", 2, 1, 1, 128, 9216),
    ("llama-3.1-70b", "fp8", "b200", 1, 1, 1, 64, 9216),
    ("qwen3-235b-a22b", "fp8", "h200", 2, 1, 1, 16, 6000),
    ("qwen3-235b-a22b", "fp8", "h200", 2, 1, 2, 9, 10_000),
    ("gpt-oss-120b", "mxfp4", "h100", 2, 1, 1, 320, 5000),
    ("gpt-oss-120b", "mxfp4", "b200", 1, 4, 1, 64, 2048),
]
"""Runs of 2026 that came nearest to the memory of their devices (ai-dynamo/aiconfigurator, systems/silicon_sample.csv, Apache-2.0)."""


@pytest.mark.parametrize(("name", "dtype", "gpu", "tensor", "data", "expert", "batch", "context"), RAN)
def test_what_ran_fits(
    name: str, dtype: str, gpu: str, tensor: int, data: int, expert: int, batch: int, context: int
) -> None:
    layout = serving_layout(tensor=tensor, attention_data=data, expert=expert)
    cache = DTYPES["fp8"]
    asked = Ask(DTYPES[dtype], cache, batch, context, hardware=find_hardware(gpu), layout=layout)
    report = memory_report(spec_of(name), asked)
    found: Any = report.data
    assert found["verdict"] == "fits" and found["devices"] == tensor * data
