"""Families with recurrences and convolutions against counts of transformers 5.23.0, and what is refused of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.importer.recorded import families_in, recorded, spec_of
from tscale.core.costs.cache import cache_bytes, growing, states
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, params
from tscale.core.workload import SequenceLengths
from tscale.errors import SpecError
from tscale.models.lower import lower
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

CASES = [pytest.param(case, id=case["name"]) for case in recorded("cases_mixers.jsonl")]
VARIATIONS = recorded("variations_mixers.jsonl")


@pytest.mark.parametrize("case", CASES)
def test_parameters_equal_what_the_framework_counts(case: dict[str, Any]) -> None:
    ledger = lower(spec_of(case["config"]))
    assert params(ledger).total == case["params"]["total"] - case["params"]["frozen"]
    assert active_params(ledger).total == case["params"]["active"]


@pytest.mark.parametrize("case", CASES)
def test_forward_flops_equal_what_the_framework_counts(case: dict[str, Any]) -> None:
    ledger = lower(spec_of(case["config"]))
    assert {length: forward_flops(ledger, SequenceLengths(int(length))).total for length in case["flops"]} == case[
        "flops"
    ]


@pytest.mark.parametrize("case", CASES)
def test_what_a_token_and_what_a_sequence_keeps_equal_the_framework_s(case: dict[str, Any]) -> None:
    """In bf16. RecurrentGemma keeps its cache in its layers, where it was not measured."""
    ledger, measured = lower(spec_of(case["config"])), case["kv_bytes_per_token"]
    if measured is not None:
        assert cache_bytes(growing(ledger), SequenceLengths(1), 16).total == measured["per_token"]
        assert cache_bytes(states(ledger), SequenceLengths(1), 16).total == measured["constant"]


def test_recurrent_gemma_keeps_a_window_and_small_states() -> None:
    """8 layers of one key-value head of 256; 18 of 2560 numbers and the 3 inputs before (De 2024, section 2.4)."""
    (config,) = (case["config"] for case in recorded("cases_mixers.jsonl") if case["name"] == "recurrentgemma-2b")
    ledger = lower(spec_of(config))
    assert cache_bytes(growing(ledger), SequenceLengths(9999), 16).total == 8 * 2 * 256 * 2048 * 2
    assert cache_bytes(states(ledger), SequenceLengths(9999), 16).total == 18 * (2560 + 3 * 2560) * 2


@pytest.mark.parametrize("case", CASES)
def test_an_imported_spec_can_be_written_and_read_back(case: dict[str, Any]) -> None:
    spec = spec_of(case["config"])
    assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


@pytest.mark.parametrize("family", families_in(VARIATIONS))
def test_each_change_of_a_field_is_counted_right_or_refused(family: str) -> None:
    wrong = []
    for line in (line for line in VARIATIONS if line["config"]["model_type"] == family):
        try:
            ledger = lower(spec_of(line["config"]))
        except SpecError:
            continue
        counted = (params(ledger).total, line["flops"] and forward_flops(ledger, SequenceLengths(70)).total)
        if counted != (line["total"] - line["frozen"], line["flops"]):
            wrong.append((line["changed"], line["config"], counted))
    assert not wrong


@pytest.mark.parametrize("family", families_in(VARIATIONS))
def test_the_defaults_of_a_class_are_read_and_not_refused(family: str) -> None:
    usual = ("nothing", "nothing, saved", "architectures")
    lines = [line for line in VARIATIONS if line["config"]["model_type"] == family and line["changed"] in usual]
    assert {"nothing", "nothing, saved"} <= {line["changed"] for line in lines}
    for line in lines:
        assert params(lower(spec_of(line["config"]))).total == line["total"] - line["frozen"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "mamba", "intermediate_size": 7},
            "intermediate_size: 7 contradicts expand, which makes it 1536",
        ),
        (
            {"model_type": "mamba", "time_step_rank": "many"},
            'time_step_rank must be a whole number from 1 to 10^12, not "many"',
        ),
        (
            {"model_type": "mamba2", "num_heads": 64},
            "expand: 64 heads of 64 are not the 8192 channels that it makes",
        ),
        (
            {"model_type": "falcon_h1", "projectors_bias": True},
            "projectors_bias and mamba_proj_bias differ: biases on one projection alone are not known yet",
        ),
        (
            {"model_type": "bamba", "attn_layer_indices": [32]},
            "attn_layer_indices must list layers from 0 to 31",
        ),
        (
            {"model_type": "jamba", "attn_layer_offset": 8},
            "attn_layer_offset must be below attn_layer_period 8, not 8",
        ),
        (
            {"model_type": "qwen3_next", "num_hidden_layers": 1, "layer_types": ["conv"]},
            'layer_types: "conv" is not known yet: only attention and full_attention and linear_attention are',
        ),
        (
            {"model_type": "recurrent_gemma", "block_types": ["conv"]},
            "block_types must list recurrent and attention",
        ),
        (
            {"model_type": "xlstm", "num_blocks": 4},
            "num_blocks: 4 contradicts num_hidden_layers, which makes it 32",
        ),
        (
            {"model_type": "xlstm", "qk_dim_factor": "half"},
            'qk_dim_factor must be a number above 0, not "half"',
        ),
        (
            {"model_type": "xlstm", "tie_word_embeddings": True},
            "tie_word_embeddings: true is not known yet for xlstm: only false is",
        ),
        (
            {"model_type": "xlstm", "qk_dim_factor": 0.51},
            "qk_dim_factor: 8 heads and 64 must divide the width that it makes, 2088",
        ),
    ],
)
def test_what_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        spec_of(config)
    assert str(error.value) == f"config.json: {message}"
