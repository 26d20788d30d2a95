"""Families that came out since 2025 with layers of their own, against what transformers 5.24.0 builds and keeps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.importer.recorded import Differences, counted_wrong, families_in, is_refused, recorded, spec_of
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, params
from tscale.errors import SpecError
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec

LENGTH, SHORT, LONG = 70, 63, 127
VARIATIONS = [*recorded("variations_2026.jsonl"), *recorded("variations_more_2026.jsonl")]


def _beyond(config: dict[str, Any]) -> int:
    """FLOPs of transformers 5.24.0 that the architecture does not need.

    ZAYA: half of the values of a state of zeros, for the first token, and a filter of single channels over positions that the next one
    cuts off, both in each layer.
    """
    if config["model_type"] != "zaya":
        return 0
    says = {
        "hidden_size": 2048,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 128,
        "cca_time0": 2,
        "cca_time1": 2,
    } | config
    keys = says["num_key_value_heads"] * says["head_dim"]
    channels = keys + says["num_attention_heads"] * says["head_dim"]
    filtered = 2 * channels * says["cca_time0"] * (says["cca_time1"] - 1)
    return int(says.get("num_hidden_layers", 40) * (says["hidden_size"] * keys + filtered))


def _differences(spec: ModelSpec, line: dict[str, Any]) -> Differences:
    """What tscale and the framework count differently: parameters, FLOPs, and numbers in the cache at two lengths."""
    ledger = lower(spec)
    pairs = {"total": (params(ledger).total, line["total"])}
    if line["flops"] is not None:
        pairs["flops"] = (forward_flops(ledger, run_of(spec, LENGTH)).total + _beyond(line["config"]), line["flops"])
    if line["active"] is not None:
        pairs["active"] = (active_params(ledger).total, line["active"])
    for length, name in ((SHORT, "short"), (LONG, "long")):
        if line["cache"] is not None:
            pairs[name] = (cache_bytes(ledger, run_of(spec, length), 16).total // 2, line["cache"][name])
    return {name: (int(ours), theirs) for name, (ours, theirs) in pairs.items() if ours != theirs}


@pytest.mark.parametrize("family", families_in(VARIATIONS))
def test_each_change_of_a_field_is_counted_right_or_refused(family: str) -> None:
    lines = [line for line in VARIATIONS if line["config"]["model_type"] == family]
    assert not counted_wrong(lines, _differences)


@pytest.mark.parametrize("family", families_in(VARIATIONS))
def test_the_defaults_of_a_class_are_read_and_not_refused(family: str) -> None:
    usual = ("nothing", "nothing, saved", "architectures")
    lines = [line for line in VARIATIONS if line["config"]["model_type"] == family]
    plain = [line for line in lines if line["changed"] in usual]
    assert plain
    assert not [line["config"] for line in plain if is_refused(line["config"])]


INSIDE = [
    line
    for line in recorded("nested.jsonl")
    if line["config"]["model_type"] in ("mistral_large4", "glm5_next", "gemma3n")
]


@pytest.mark.parametrize("family", ["mistral_large4", "glm5_next"])
def test_a_text_model_inside_a_whole_is_counted_right_or_refused(family: str) -> None:
    lines = [line for line in INSIDE if line["config"]["model_type"] == family]
    assert lines
    for line in lines:
        if not is_refused(line["config"]):
            ledger = lower(spec_of(line["config"]))
            assert params(ledger).total == line["total"], line["changed"]


def test_gemma_3n_is_its_text_model_and_says_what_is_left_out() -> None:
    spec = spec_of(
        {"model_type": "gemma3n", "text_config": {}, "vision_config": {"hidden_size": 2048}, "audio_config": {}}
    )
    assert params(lower(spec)).total == 6_835_235_568  # Gemma3nForCausalLM of transformers 5.24.0 with the same sizes
    assert any(note.startswith("Left out: the vision and audio towers") for note in spec.notes)


FLAT: dict[str, Any] = {
    "model_type": "step3p7", "architectures": ["Step3p7ForConditionalGeneration"], "num_hidden_layers": 45, "hidden_size": 4096,
    "num_attention_heads": 64, "vocab_size": 128896, "sliding_window": 512, "moe_intermediate_size": 1280,
}  # fmt: skip


def test_a_flat_file_of_step_is_counted_as_its_class_builds_it_and_that_is_said() -> None:
    """transformers 5.24.0 reads text_config alone: of such a file it builds 197,824,847,872 parameters, whatever stands beside."""
    spec = spec_of(FLAT)
    assert params(lower(spec).whole).total == 197_824_847_872
    assert params(lower(spec)).total == 195_843_833_088
    assert any("It takes vocab_size 128815" in note for note in spec.notes)


def test_a_flat_file_of_another_width_is_refused() -> None:
    with pytest.raises(SpecError, match="hidden_size stands outside of text_config"):
        spec_of(FLAT | {"hidden_size": 2048})


def test_deepseek_v4_keeps_its_experts_in_four_bits_and_what_compresses_keys_in_sixteen() -> None:
    quantised = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    spec = spec_of({"model_type": "deepseek_v4", "expert_dtype": "fp4", "quantization_config": quantised})
    assert spec.weights is not None
    rules = {rule.format: rule.parts for rule in spec.weights.rules}
    assert spec.weights.format == "fp8-128x128"
    assert "experts.up" in rules["mxfp4"] and "attention.compressed" in rules["bf16"]
    assert rules["fp32"] == ("streams",)
