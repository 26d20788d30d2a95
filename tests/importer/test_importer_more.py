"""Decoders and hybrids recorded with their caches, and text models inside other files, against transformers 5.23.0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers import of_each
from tests.importer.recorded import counted_wrong, families_in, is_refused, recorded, spec_of
from tscale.core.costs.cache import cache_bytes, growing, states
from tscale.core.costs.forward import forward_flops, pairs
from tscale.core.costs.params import active_params, params
from tscale.core.ledger import Cache, Ledger, Scores
from tscale.core.workload import SequenceLengths
from tscale.errors import SpecError
from tscale.importer.families import NESTED
from tscale.importer.towers import FAMILIES as WHOLE
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

LENGTH = 70

SCORES_TWICE = {"diffllama"}
"""The framework sums each half of the values by scores that it makes anew; the architecture needs them once."""

SAVED_AS_ANOTHER = {"gpt-sw3"}
"""Its class is GPT-2's, and writes that name into the file."""


SAID = {"gemma4"}
"""It has towers only where its file names them."""

VARIATIONS, INSIDE = recorded("variations_more.jsonl"), recorded("nested.jsonl")


MORE = sorted(set(families_in(VARIATIONS)) - set(families_in(recorded("variations.jsonl"))))
WITHIN = [family for family in families_in(INSIDE) if family in NESTED]


def _variations(family: str) -> Iterator[dict[str, Any]]:
    return (line for line in VARIATIONS if line["config"]["model_type"] == family)


def _differences(spec: ModelSpec, line: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """What tscale and the framework count differently: parameters, FLOPs, and numbers in the cache."""
    ledger, family = lower(spec), line["config"]["model_type"]
    pairs = {"total": (params(ledger).total, line["total"])}
    if line["flops"] is not None and family not in SCORES_TWICE:
        pairs["flops"] = (forward_flops(ledger, SequenceLengths(LENGTH)).total, line["flops"])
    if line["active"] is not None:
        pairs["active"] = (active_params(ledger).total, line["active"])
    if line["cache"] is not None:
        pairs["per token"] = (_grown(ledger), line["cache"]["per_token"])
        if not _slides_early(ledger):
            pairs["constant"] = (
                cache_bytes(states(ledger), SequenceLengths(1), 16).total // 2,
                line["cache"]["constant"],
            )
    return {name: (int(ours), theirs) for name, (ours, theirs) in pairs.items() if ours != theirs}


def _grown(ledger: Ledger) -> int:
    """Numbers that one token adds between 64 and 96 tokens."""
    short, long = (cache_bytes(growing(ledger), SequenceLengths(length), 16).total // 2 for length in (64, 96))
    return int(long - short) // 32


def _slides_early(ledger: Ledger) -> bool:
    """Whether some window is full before the cache was measured: the framework keeps one token less than it sees."""
    windows = (entry.window for entry in ledger.entries if isinstance(entry, Cache))
    return any(window is not None and window <= 96 for window in windows)


@of_each(MORE)
def test_each_change_of_a_field_is_counted_right_or_refused(family: str) -> None:
    assert not counted_wrong(_variations(family), _differences)


@of_each(MORE)
def test_the_defaults_of_a_class_are_read_and_not_refused(family: str) -> None:
    usual = ("nothing", "nothing, saved", "architectures")
    lines = [line for line in _variations(family) if line["changed"] in usual]
    found = {line["changed"] for line in lines}
    assert "nothing" in found
    assert ("nothing, saved" in found) == (family not in SAVED_AS_ANOTHER)
    for line in lines:
        spec = spec_of(line["config"])
        assert not _differences(spec, line)
        assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


@pytest.mark.slow
def test_most_changes_are_counted() -> None:
    """A refusal is always right, so that it is rare is a promise of its own."""
    refused = sum(is_refused(line["config"]) for line in VARIATIONS)
    assert 9 * refused < len(VARIATIONS)


def test_differential_attention_scores_once_and_sums_values_of_twice_the_width() -> None:
    """Per layer and pair of positions 2·heads·(d + 2·d) FLOPs, where the framework takes 2·2·heads·(d + d)."""
    (line,) = (line for line in _variations("diffllama") if line["changed"] == "nothing")
    spec = spec_of(line["config"])
    more = line["flops"] - forward_flops(lower(spec), SequenceLengths(LENGTH)).total
    assert more == 2 * 16 * 32 * 64 * LENGTH**2


def test_layers_that_borrow_keys_store_none_and_read_them() -> None:
    """Gemma 4 with the last 4 of 12 layers borrowing: 3 local ones and 1 global one."""
    ledger = lower(spec_of({"model_type": "gemma4_text", "num_hidden_layers": 12, "num_kv_shared_layers": 4}))
    caches = [(entry.stored, entry.window) for entry in ledger.entries if isinstance(entry, Cache)]
    assert sorted(caches, key=str) == [(0, 512), (0, None), (1, None), (7, 512)]


def test_keys_that_are_picked_bound_what_a_query_sees_but_not_what_is_cached() -> None:
    """DeepSeek-V3.2: causal pairs past the 2,048th key stop growing; the indexer scores every key."""
    ledger = lower(spec_of({"model_type": "deepseek_v32"}))
    seen = {
        entry.name: pairs(entry, SequenceLengths(5000), "causal")
        for entry in ledger.entries
        if isinstance(entry, Scores)
    }
    assert seen == {
        "attention.scores": 2048 * 2049 // 2 + (5000 - 2048) * 2048,
        "attention.index.scores": 5000 * 5001 // 2,
    }
    assert {entry.window for entry in ledger.entries if isinstance(entry, Cache)} == {None}


def test_blocks_of_keys_that_are_picked_bound_what_a_query_sees_but_not_what_is_cached() -> None:
    """MiniMax-M3: 16 blocks of 128 keys at the most in sparse layers, and every key in the others; the indexer scores all."""
    config = {
        "model_type": "minimax_m3_vl_text",
        "num_hidden_layers": 2,
        "layer_types": ["full_attention", "minimax_m3_sparse"],
    }
    ledger = lower(spec_of(config))
    seen = {
        entry.name: pairs(entry, SequenceLengths(5000), "causal")
        for entry in ledger.entries
        if isinstance(entry, Scores)
    }
    assert seen == {
        "attention.scores": 5000 * 5001 // 2,
        "attention_2.scores": 2048 * 2049 // 2 + (5000 - 2048) * 2048,
        "attention_2.index.scores": 5000 * 5001 // 2,
    }
    assert {entry.window for entry in ledger.entries if isinstance(entry, Cache)} == {None}


# ---- text models inside others ----


@pytest.mark.parametrize("family", WITHIN)
def test_the_text_model_inside_is_counted_right_or_refused(family: str) -> None:
    lines = [line for line in INSIDE if line["config"]["model_type"] == family]
    counted = 0
    for line in lines:
        try:
            spec = spec_of(line["config"])
        except SpecError:
            continue
        counted += 1
        assert params(lower(spec)).total == line["total"], line
        assert line["flops"] is None or forward_flops(lower(spec), SequenceLengths(LENGTH)).total == line["flops"], line
        assert bool(spec.towers) == (family in WHOLE and family not in SAID)
        assert (NESTED[family].said in spec.notes) == (family not in WHOLE)
    assert counted > 3 < len(lines)


@of_each(WITHIN)
def test_a_file_as_the_class_saves_it_is_read(family: str) -> None:
    (saved,) = (
        line for line in INSIDE if line["changed"] == "nothing, saved" and line["config"]["model_type"] == family
    )
    config = saved["config"]
    tied = config.get("tie_word_embeddings")
    if "text_config" not in config:
        assert params(lower(spec_of(config))).total == saved["total"]
        return
    text = {**config["text_config"], "tie_word_embeddings": tied} if tied is not None else config["text_config"]
    assert params(lower(spec_of({**config, "text_config": text}))).total == saved["total"]


# ---- published models ----

CASES = [pytest.param(case, id=case["name"]) for case in recorded("cases_more.jsonl")]


@pytest.mark.parametrize("case", CASES)
def test_published_models_are_counted_as_the_framework_does(case: dict[str, Any]) -> None:
    """Parameters, those that a token meets, forward FLOPs at each recorded length, and the cache in bf16."""
    ledger = lower(spec_of(case["config"]))
    assert (params(ledger).total, active_params(ledger).total) == (case["params"]["total"], case["params"]["active"])
    assert {length: forward_flops(ledger, SequenceLengths(int(length))).total for length in case["flops"]} == case[
        "flops"
    ]
    if case["kv_bytes_per_token"] is not None:
        assert cache_bytes(growing(ledger), SequenceLengths(1), 16).total == case["kv_bytes_per_token"]["per_token"]


# ---- refusals ----


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "lfm2_moe"},
            'no "layer_types": lfm2_moe needs it',
        ),
        (
            {"model_type": "jetmoe", "num_attention_heads": 16},
            "num_attention_heads: 16 contradicts num_key_value_heads times num_experts_per_tok, which makes it 32",
        ),
        (
            {"model_type": "zamba2", "tie_word_embeddings": False},
            "tie_word_embeddings: false is not known yet for zamba2: only true is",
        ),
        (
            {"model_type": "zamba2", "num_hidden_layers": 12},
            "layers_block_type has 54 entries, and num_hidden_layers is 12",
        ),
        (
            {"model_type": "zamba2", "layers_block_type": ["moe"]},
            'layers_block_type: "moe" is not known yet: only hybrid and linear_attention and mamba are',
        ),
        (
            {"model_type": "zamba", "num_hidden_layers": 2, "layers_block_type": ["mamba", "mamba"]},
            "layers_block_type: no layer is hybrid",
        ),
        (
            {"model_type": "nemotron_h", "hybrid_override_pattern": "M-X"},
            'hybrid_override_pattern must be letters of M E * -, not "M-X"',
        ),
        (
            {"model_type": "nemotron_h", "hybrid_override_pattern": "--"},
            "no layer has attention or a state space",
        ),
        (
            {"model_type": "nemotron_h", "hybrid_override_pattern": "M*", "num_hidden_layers": 3},
            "num_hidden_layers: 3 contradicts the list of layers, which makes it 2",
        ),
        (
            {"model_type": "nemotron_h", "hybrid_override_pattern": "ME", "mlp_bias": True},
            "mlp_bias: true is not known yet for layers of experts: only false is",
        ),
        (
            {"model_type": "olmo_hybrid", "num_hidden_layers": 2, "layer_types": ["linear_attention"] * 2},
            "layer_types must list both full_attention and linear_attention",
        ),
        (
            {"model_type": "glm_moe_dsa", "num_hidden_layers": 2, "indexer_types": ["shared", "full"]},
            "indexer_types must be full or shared for each of 2 layers, the first full",
        ),
        (
            {"model_type": "minimax_m3_vl_text", "sparse_attention_config": [1]},
            "sparse_attention_config must be a mapping, not a list",
        ),
        (
            {"model_type": "minimax_m3_vl_text", "sparse_attention_config": {"sparse_index_dim": 0}},
            "sparse_attention_config.sparse_index_dim must be a whole number above 0, not 0",
        ),
        (
            {"model_type": "minimax_m3_vl_text", "moe_layer_freq": [1, 0]},
            "moe_layer_freq must have 0 or 1 for each of 60 layers",
        ),
        (
            {"model_type": "kimi_linear", "num_hidden_layers": 2, "linear_attn_config": {"full_attn_layers": [1]}},
            "linear_attn_config: its two lists must name each layer from 1 to 2 once",
        ),
        (
            {"model_type": "kimi_linear", "linear_attn_config": 2},
            "linear_attn_config must be a mapping, not 2",
        ),
        (
            {"model_type": "mimo_v2_flash", "sliding_window": None},
            "some layers slide, but there is no sliding_window: set it, or layer_types to full_attention",
        ),
        (
            {"model_type": "laguna", "gating": "per-channel", "attention_bias": True},
            "attention_bias: true is not known yet with a gate for each channel: only false is",
        ),
        (
            {"model_type": "florence2", "tie_word_embeddings": False, "text_config": {}},
            "tie_word_embeddings (false) and text_config.tie_word_embeddings (true) differ: florence2 is known where both are the same",
        ),
        (
            {"model_type": "llava", "text_config": {"model_type": "mamba"}},
            'text_config.model_type "mamba" is not known for llava: only llama and mistral and qwen2 and qwen3 and gemma '
            "and gemma2 and phi and phi3 and granite and mixtral and opt and cohere and cohere2 and olmo and olmo2 and "
            "smollm3 and stablelm and gpt_neox and qwen3_moe and gpt_oss and ministral3",
        ),
    ],
)
def test_what_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        spec_of(config)
    assert str(error.value) == f"config.json: {message}"


def test_an_older_file_has_the_text_model_s_keys_beside_the_others() -> None:
    """Qwen2-VL 7B as published: the text model is Qwen2 7B's."""
    config = {
        "model_type": "qwen2_vl", "architectures": ["Qwen2VLForConditionalGeneration"], "vision_start_token_id": 151652,
        "hidden_size": 3584, "intermediate_size": 18944, "max_window_layers": 28, "num_attention_heads": 28,
        "num_hidden_layers": 28, "num_key_value_heads": 4, "sliding_window": 32768, "tie_word_embeddings": False,
        "use_sliding_window": False, "vision_config": {"depth": 32}, "vocab_size": 152064,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    }  # fmt: skip
    assert params(lower(spec_of(config))).total == 7_615_616_512
