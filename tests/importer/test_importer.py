"""The importer of config.json against counts made by other people's software, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers import of_each
from tests.importer.recorded import families_in, recorded, spec_of
from tscale.blocks import Attention
from tscale.blocks.fields import LayerSelector
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, params
from tscale.core.workload import SequenceLengths
from tscale.errors import SpecError
from tscale.importer.families import FAMILIES, NOT_YET
from tscale.importer.harmless import HARMLESS
from tscale.importer.json_file import parse_object
from tscale.importer.reader import imported
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

EVERY_EXPERT_RUN = "llama4_text"
"""The framework runs all experts of Llama 4 on every token, and scales most by zero; the architecture needs top_k."""

FORCED = {("t5", "tie_word_embeddings"), ("mt5", "tie_word_embeddings"), ("umt5", "tie_word_embeddings")}
"""Variations where transformers 5 does not do what the file says: it ties T5's head whatever the key says."""


CASES = [*recorded("cases.jsonl"), *recorded("cases_experts.jsonl")]
RUN = [case for case in CASES if case["model_type"] != EVERY_EXPERT_RUN]
WITH_EXPERTS = [pytest.param(case, id=case["name"]) for case in CASES if "active" in case["params"]]
CACHING = [case for case in CASES if case["kv_bytes_per_token"]]


def _total(spec: ModelSpec) -> int:
    return int(params(lower(spec)).total)


# ---- published models ----


@of_each(CASES)
def test_parameters_equal_what_the_framework_counts(case: dict[str, Any]) -> None:
    """To the last digit, with the tables of sines that Pegasus and Marian keep as parameters and never train."""
    counted = case["params"]["total"]
    assert _total(spec_of(case["config"])) == counted


@pytest.mark.parametrize("case", WITH_EXPERTS)
def test_active_parameters_equal_what_the_framework_counts(case: dict[str, Any]) -> None:
    """Routed experts by top_k of all of them, everything else whole."""
    assert active_params(lower(spec_of(case["config"]))).total == case["params"]["active"]


@of_each(RUN)
def test_forward_flops_equal_what_the_framework_counts(case: dict[str, Any]) -> None:
    spec = spec_of(case["config"])
    counted = {length: forward_flops(lower(spec), run_of(spec, int(length)), "full").total for length in case["flops"]}
    assert counted == case["flops"]


def test_llama_4_is_counted_by_the_experts_that_a_token_needs() -> None:
    """As the law of the other models: twice what is used of every matrix, and the scores."""
    (case,) = (case for case in CASES if case["model_type"] == EVERY_EXPERT_RUN)
    spec, config = spec_of(case["config"]), case["config"]
    tables = config["vocab_size"] * config["hidden_size"]
    norms = (2 * config["num_hidden_layers"] + 1) * config["hidden_size"]
    scores = 4 * config["num_attention_heads"] * config["head_dim"] * config["num_hidden_layers"]
    for length in (128, 512, 2048):
        needed = 2 * length * (case["params"]["active"] - tables - norms) + scores * length**2
        assert forward_flops(lower(spec), run_of(spec, length), "full").total == needed < case["flops"][str(length)]


@of_each(CACHING)
def test_a_cached_token_takes_as_many_bytes_as_in_the_framework(case: dict[str, Any]) -> None:
    """In bf16. Falcon's new architecture caches more in the framework than the architecture asks: its README says so."""
    ledger, measured = lower(spec_of(case["config"])), case["kv_bytes_per_token"]
    expected = measured.get("architectural_per_token", measured["per_token"])
    assert cache_bytes(ledger, SequenceLengths(target=1), 16).total == expected
    if "cross_per_encoder_token" in measured:
        assert cache_bytes(ledger, SequenceLengths(target=0, source=1), 16).total == measured["cross_per_encoder_token"]
    if "window" in measured:
        window = measured["window"]
        beyond = (
            cache_bytes(ledger, SequenceLengths(window + 1), 16).total
            - cache_bytes(ledger, SequenceLengths(window), 16).total
        )
        assert beyond == measured["per_token_beyond_window"]


# ---- every field of every class, changed alone ----

VARIATIONS = [*recorded("variations.jsonl"), *recorded("variations_experts.jsonl")]


UNRECORDED = {"Yi", "deepseek", "internlm", "mimo", "phi-msft"}
OF_WHOLES = {"blip_text_model", "ernie4_5_vl_moe_text"}
"""Text models that were counted within the whole alone (towers.jsonl)."""
"""Families whose code no library holds, and of which published files alone are known (test_importer_remote)."""


def test_every_family_was_counted_by_other_software() -> None:
    files = (
        "variations",
        "variations_experts",
        "variations_encoders",
        "variations_mixers",
        "variations_more",
        "variations_2026",
        "variations_more_2026",
        "variations_encoders_2026",
        "variations_further",
        "remote",
    )
    found = {family for name in files for family in families_in(recorded(f"{name}.jsonl"))}
    assert set(FAMILIES) - found - OF_WHOLES == UNRECORDED


def _variations(family: str) -> Iterator[dict[str, Any]]:
    return (line for line in VARIATIONS if line["config"]["model_type"] == family)


@of_each(families_in(VARIATIONS))
def test_each_change_of_a_field_is_counted_right_or_refused(family: str) -> None:
    wrong = []
    for line in _variations(family):
        try:
            counted = _total(spec_of(line["config"]))
        except SpecError:
            continue
        if counted != line["total"] and (family, line["changed"]) not in FORCED:
            wrong.append((line["changed"], line["config"], counted, line["total"]))
    assert not wrong


@of_each(families_in(VARIATIONS))
def test_the_defaults_of_a_class_are_read_and_not_refused(family: str) -> None:
    """Left out, written out as the class saves them, and with each class on them."""
    lines = [line for line in _variations(family) if line["changed"] in ("nothing", "nothing, saved", "architectures")]
    assert {"nothing", "nothing, saved"} <= {line["changed"] for line in lines}
    for line in lines:
        assert _total(spec_of(line["config"])) == line["total"]


@pytest.mark.slow
def test_most_changes_are_counted() -> None:
    """A refusal is always right, so that it is rare is a promise of its own."""
    refused = 0
    for line in VARIATIONS:
        try:
            spec_of(line["config"])
        except SpecError:
            refused += 1
    assert (refused, len(VARIATIONS)) == (152, 2504)


# ---- what a whole file holds ----


@pytest.mark.parametrize(
    ("config", "total"),
    [
        pytest.param(
            {
                "model_type": "llama", "architectures": ["LlamaForCausalLM"], "attention_bias": False,
                "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009],
                "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
                "max_position_embeddings": 131072, "mlp_bias": False, "num_attention_heads": 32,
                "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
                "rope_scaling": {"factor": 8.0, "rope_type": "llama3"}, "rope_theta": 500000.0,
                "tie_word_embeddings": False, "torch_dtype": "bfloat16", "transformers_version": "4.42.3",
                "use_cache": True, "vocab_size": 128256,
            },
            8_030_261_248,
            id="llama-3.1-8b",
        ),
        pytest.param(
            {
                "model_type": "gpt2", "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"],
                "attn_pdrop": 0.1, "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256,
                "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "n_ctx": 1024, "n_embd": 768, "n_head": 12,
                "n_layer": 12, "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": None,
                "summary_first_dropout": 0.1, "summary_proj_to_labels": True, "summary_type": "cls_index",
                "summary_use_proj": True, "task_specific_params": {"text-generation": {"do_sample": True}},
                "vocab_size": 50257,
            },
            124_439_808,
            id="gpt2",
        ),
        pytest.param(
            {
                "model_type": "bart", "_num_labels": 3, "activation_dropout": 0.0, "activation_function": "gelu",
                "add_final_layer_norm": False, "architectures": ["BartForConditionalGeneration"],
                "attention_dropout": 0.0, "bos_token_id": 0, "classif_dropout": 0.0, "d_model": 1024,
                "decoder_attention_heads": 16, "decoder_ffn_dim": 4096, "decoder_layerdrop": 0.0,
                "decoder_layers": 12, "decoder_start_token_id": 2, "dropout": 0.1, "early_stopping": True,
                "encoder_attention_heads": 16, "encoder_ffn_dim": 4096, "encoder_layerdrop": 0.0,
                "encoder_layers": 12, "eos_token_id": 2, "force_bos_token_to_be_generated": True,
                "forced_bos_token_id": 0, "forced_eos_token_id": 2, "gradient_checkpointing": False,
                "id2label": {"0": "LABEL_0"}, "init_std": 0.02, "is_encoder_decoder": True, "label2id": {"LABEL_0": 0},
                "length_penalty": 2.0, "max_length": 142, "max_position_embeddings": 1024, "min_length": 56,
                "no_repeat_ngram_size": 3, "normalize_before": False, "num_beams": 4, "num_hidden_layers": 12,
                "output_past": True, "pad_token_id": 1, "prefix": " ", "scale_embedding": False, "use_cache": True,
                "vocab_size": 50264,
            },
            406_290_432,
            id="bart-large-cnn",
        ),
        pytest.param(
            {
                "model_type": "bloom", "apply_residual_connection_post_layernorm": False, "attention_dropout": 0.0,
                "architectures": ["BloomForCausalLM"], "attention_softmax_in_fp32": True, "bias_dropout_fusion": True,
                "bos_token_id": 1, "hidden_dropout": 0.0, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
                "masked_softmax_fusion": True, "n_embed": 1024, "n_inner": None, "n_layer": 24,
                "num_attention_heads": 16, "offset_alibi": 100, "pretraining_tp": 1, "skip_bias_add": True,
                "skip_bias_add_qkv": False, "slow_but_exact": False, "unk_token_id": 0, "use_cache": True,
                "vocab_size": 250880,
            },
            559_214_592,
            id="bloom-560m",
        ),
    ],
)  # fmt: skip
def test_files_as_they_are_published_are_read_with_all_their_keys(config: dict[str, Any], total: int) -> None:
    assert _total(spec_of(config)) == total


# ---- windows ----

LOCAL, FULL = "sliding_attention", "full_attention"


@pytest.mark.parametrize(
    ("config", "window", "pattern"),
    [
        ({"model_type": "mistral"}, 4096, None),
        ({"model_type": "mistral", "sliding_window": None}, None, None),
        ({"model_type": "phi3", "sliding_window": 2047}, 2047, None),
        ({"model_type": "gemma2"}, 4096, ("local", "global")),
        ({"model_type": "gemma2", "num_hidden_layers": 2, "layer_types": [FULL, LOCAL]}, 4096, ("global", "local")),
        ({"model_type": "gemma2", "num_hidden_layers": 2, "layer_types": [LOCAL, LOCAL]}, 4096, None),
        ({"model_type": "gemma2", "num_hidden_layers": 2, "layer_types": [FULL, FULL]}, None, None),
        ({"model_type": "cohere2"}, 4096, ("local", "local", "local", "global")),
        ({"model_type": "cohere2", "layer_switch": 2}, 4096, ("local", "local", "local", "global")),  # not read
        ({"model_type": "qwen2", "sliding_window": 9, "num_hidden_layers": 3, "max_window_layers": 2}, None, None),
        (
            {
                "model_type": "qwen2",
                "use_sliding_window": True,
                "sliding_window": 9,
                "num_hidden_layers": 3,
                "max_window_layers": 2,
            },
            9,
            ("global", "global", "local"),
        ),
        (
            {"model_type": "smollm3", "use_sliding_window": True, "sliding_window": 9},
            9,
            ("global", "global", "global", "local"),
        ),
        ({"model_type": "gpt_neo"}, 256, ("global", "local")),
        ({"model_type": "gpt_neo", "num_layers": 3, "attention_types": [[["global"], 3]]}, None, None),
    ],
)
def test_which_layers_see_how_far(config: dict[str, Any], window: int | None, pattern: tuple[str, ...] | None) -> None:
    attention = spec_of(config).attention
    assert isinstance(attention, Attention)
    assert (attention.window, attention.pattern) == (window, pattern)


# ---- refusals ----

GPT_NEO = {"model_type": "gpt_neo", "num_layers": 2}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, 'no "model_type": add it, because it names the family of the file'),
        ({"model_type": 7}, "model_type must be text, not 7"),
        (
            {"model_type": "lama"},
            'model_type "lama" is not known: no known family has its keys (--assume FAMILY counts it as one of a known family; --families FILE describes it)',
        ),
        (
            {"model_type": "funnel"},
            'model_type "funnel" is not known yet: its layers pool a sequence to shorter ones (--assume FAMILY counts it as one of a known family all the same)',
        ),
        ({"model_type": "bloom"}, 'no "n_layer": bloom needs it'),
        ({"model_type": "bloom", "n_layer": None}, 'no "n_layer": bloom needs it'),
        ({"model_type": "nemotron"}, 'no "num_key_value_heads": nemotron needs it'),
        (
            {"model_type": "llama", "hidden_size": "4096"},
            'hidden_size must be a whole number from 1 to 10^12, not "4096"',
        ),
        (
            {"model_type": "llama", "hidden_size": 4096.0},
            "hidden_size must be a whole number from 1 to 10^12, not 4096.0",
        ),
        ({"model_type": "llama", "hidden_size": True}, "hidden_size must be a whole number from 1 to 10^12, not true"),
        ({"model_type": "llama", "hidden_size": None}, "hidden_size must be a whole number, not null"),
        (
            {"model_type": "llama", "num_hidden_layers": 0},
            "num_hidden_layers must be a whole number from 1 to 10^12, not 0",
        ),
        ({"model_type": "llama", "attention_bias": 1}, "attention_bias must be true or false, not 1"),
        ({"model_type": "llama", "attention_bias": None}, "attention_bias must be true or false, not null"),
        ({"model_type": "t5", "feed_forward_proj": 3}, "feed_forward_proj must be text, not 3"),
        ({"model_type": "t5", "feed_forward_proj": None}, "feed_forward_proj must be text, not null"),
        (
            {"model_type": "t5", "feed_forward_proj": "glu-gelu"},
            'feed_forward_proj: "glu-gelu" is not known: an activation\'s name, or gated- and a name',
        ),
        ({"model_type": "t5", "is_gated_act": True}, 'is_gated_act: true contradicts "relu"'),
        (
            {"model_type": "llama", "num_key_value_heads": 5},
            "attention.kv_heads: 5 kv_heads do not divide 32 heads: every key-value head serves as many heads",
        ),
        (
            {"model_type": "llama", "hidden_size": 4100},
            "attention.heads: 32 heads do not divide d_model 4100: set head_dim, or heads to a divisor of 4100",
        ),
        (
            {"model_type": "llama", "layer_types": [FULL] * 32},
            'key "layer_types" (a list) is not known for llama, and may change what is counted',
        ),
        ({"model_type": "deepseek_v2"}, 'no "num_experts_per_tok": deepseek_v2 needs it'),
        (
            {"model_type": "deepseek_v3", "qk_head_dim": 128},
            "qk_head_dim: 128 contradicts qk_nope_head_dim + qk_rope_head_dim, which makes it 192",
        ),
        (
            {"model_type": "mixtral", "num_experts_per_tok": 9},
            "feed_forward.top_k: a token cannot use 9 of 8 experts: set top_k to at most 8",
        ),
        (
            {"model_type": "mixtral", "num_experts": 4, "num_local_experts": 8},
            "num_experts (4) and num_local_experts (8) mean the same size, and differ: drop one",
        ),
        (
            {"model_type": "qwen3_moe", "mlp_only_layers": "none"},
            'mlp_only_layers must be a list of whole numbers, not "none"',
        ),
        (
            {"model_type": "apertus", "hidden_act": "silu"},
            'hidden_act: "silu" is not known yet for apertus: only "xielu" is',
        ),
        (
            {"model_type": "gemma3_text", "_sliding_window_pattern": 3},
            "_sliding_window_pattern: 3 contradicts sliding_window_pattern, which makes it 6",
        ),
        (
            {"model_type": "gemma3_text", "use_bidirectional_attention": True},
            "use_bidirectional_attention: true is not known yet for gemma3_text: only false is",
        ),
        (
            {"model_type": "ernie4_5_moe", "use_bias": True},
            "use_bias: true is not known yet for ernie4_5_moe: only false is",
        ),
        (
            {"model_type": "llama4_text", "attention_chunk_size": None},
            "attention_chunk_size must be a whole number from 1 to 10^12, not null",
        ),
        (
            {"model_type": "minimax_m2", "num_hidden_layers": 2, "attn_type_list": [1, 0]},
            "attn_type_list: only layers of full attention (1) are known",
        ),
        (
            {"model_type": "glm4_moe_lite", "num_hidden_layers": 1, "mlp_layer_types": ["thin"]},
            'mlp_layer_types: "thin" is not known: only dense and sparse are',
        ),
        (
            {"model_type": "phi", "qk_layernorm": True, "head_dim": 80},
            "head_dim: 80 times 32 heads is not hidden_size 2048, as it must be",
        ),
        ({"model_type": "dbrx", "ffn_config": 8}, "ffn_config must be a mapping, not 8"),
        (
            {"model_type": "dbrx", "ffn_config": {"moe_top_k": 0}},
            "ffn_config.moe_top_k must be a whole number from 1 to 10^12, not 0",
        ),
        (
            {"model_type": "dbrx", "attn_config": {"sinks": True}},
            'key "attn_config.sinks" (true) is not known for dbrx, and may change what is counted',
        ),
        ({"model_type": "gemma3"}, 'no "text_config": gemma3 needs it, with the sizes of its text model'),
        (
            {"model_type": "gemma3", "text_config": {"model_type": "llama"}},
            'text_config.model_type "llama" is not known for gemma3: only gemma3_text',
        ),
        (
            {"model_type": "gemma3", "architectures": ["Gemma3ForCausalLM"], "text_config": {}},
            'architectures: "Gemma3ForCausalLM" is not known for gemma3: only Gemma3ForConditionalGeneration',
        ),
        ({"model_type": "mpt", "no_bias": 1}, "no_bias: 1 is not known yet for mpt: only true is"),
        (
            {"model_type": "gpt2", "architectures": ["GPT2DoubleHeadsModel"]},
            'architectures: "GPT2DoubleHeadsModel" is not known for gpt2: did you mean GPT2LMHeadModel?',
        ),
        (
            {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel", "GPT2Model"]},
            "architectures must be a list of one class, not of 2",
        ),
        (
            {"model_type": "gpt2", "n_layer": 12, "num_hidden_layers": 24},
            "num_hidden_layers (24) and n_layer (12) mean the same size, and differ: drop one",
        ),
        (
            {"model_type": "gpt_bigcode", "num_key_value_heads": 4},
            "num_key_value_heads: 4 contradicts multi_query, which makes it 1",
        ),
        (
            {"model_type": "falcon", "multi_query": False, "num_kv_heads": 8},
            "num_kv_heads: 8 contradicts multi_query, which makes it 71",
        ),
        (
            {"model_type": "falcon", "new_decoder_architecture": True, "parallel_attn": False},
            "new_decoder_architecture: true is not known with parallel_attn: false",
        ),
        (
            {"model_type": "falcon", "num_ln_in_parallel_attn": 2},
            "num_ln_in_parallel_attn: 2 is not known for this architecture",
        ),
        (
            {"model_type": "helium", "head_dim": 64},
            "head_dim: 64 times 20 heads is not hidden_size 2560, as it must be",
        ),
        (
            {"model_type": "mpt", "attn_config": {"alibi": False}},
            "attn_config.alibi: false is not known yet: only true is",
        ),
        ({"model_type": "mpt", "attn_config": "alibi"}, 'attn_config must be a mapping, not "alibi"'),
        (
            {"model_type": "marian", "decoder_vocab_size": 9},
            "decoder_vocab_size: 9 contradicts vocab_size, which makes it 58101",
        ),
        (
            {"model_type": "gemma2", "num_hidden_layers": 2, "layer_types": [LOCAL, "chunked_attention"]},
            'layer_types: "chunked_attention" is not known yet: only full_attention and sliding_attention are',
        ),
        (
            {"model_type": "gemma2", "num_hidden_layers": 10**12},
            "num_hidden_layers: 1000000000000 is too deep for layers that differ: at most 10000",
        ),
        ({"model_type": "gemma2", "layer_types": [LOCAL]}, "layer_types has 1 entries, and num_hidden_layers is 26"),
        (
            {"model_type": "gemma2", "layer_types": LOCAL},
            'layer_types must be a list of words, not "sliding_attention"',
        ),
        (
            {"model_type": "gemma2", "sliding_window": None},
            "some layers slide, but there is no sliding_window: set it, or layer_types to full_attention",
        ),
        (
            {"model_type": "smollm3", "no_rope_layers": [1, 0]},
            "no_rope_layers has 2 entries, and num_hidden_layers is 36",
        ),
        (
            {"model_type": "smollm3", "no_rope_layers": ["x"]},
            "no_rope_layers must be a list of whole numbers, not a list",
        ),
        (
            {**GPT_NEO, "attention_types": [[["global"], 1]]},
            "attention_types has 1 layers, and num_layers is 2",
        ),
        (
            {**GPT_NEO, "attention_types": [[["global", "sparse"], 1]]},
            'attention_types: "sparse" is not known yet: only local and global are',
        ),
        (
            {**GPT_NEO, "attention_types": ["global"]},
            "attention_types must be a list of patterns and how often each is repeated",
        ),
        (
            {**GPT_NEO, "attention_types": [[["global"], 2]], "attention_layers": ["local", "local"]},
            "attention_layers and attention_types differ",
        ),
    ],
)
def test_a_refusal_is_one_line_that_says_why(config: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        imported(config, name="x", where="config.json")
    assert str(error.value) == f"config.json: {message}"


@of_each(NOT_YET)
def test_what_is_not_known_yet_is_not_in_the_table(family: str) -> None:
    assert family not in FAMILIES


def test_a_key_is_read_or_harmless_but_not_both() -> None:
    """But for keys that one family reads and others only hold."""
    shared = {"n_positions", "seq_length", "extra_pos_embeddings", "hidden_act", "num_nextn_predict_layers"}
    shared |= HARMLESS & {
        key
        for name, family in FAMILIES.items()
        if name not in families_in(VARIATIONS)
        for key in (*family.reads, *family.fixed)
    }
    for family in FAMILIES.values():
        assert not (set(family.reads) | set(family.fixed)) & (HARMLESS - shared)


LLAMAS = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.mark.parametrize(
    ("config", "family"),
    [
        (LLAMAS | {"rms_norm_eps": 1e-5, "rope_theta": 1e4, "max_position_embeddings": 64}, "llama"),
        (LLAMAS | {"num_local_experts": 8, "num_experts_per_tok": 2, "max_position_embeddings": 64, "num_key_value_heads": 1, "head_dim": 4},
         "mixtral"),
        (LLAMAS | {"kv_lora_rank": 4, "q_lora_rank": None, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 4,
                   "n_routed_experts": 4, "n_shared_experts": 1, "moe_intermediate_size": 4, "first_k_dense_replace": 1,
                   "num_experts_per_tok": 2, "max_position_embeddings": 64}, "deepseek_v2"),
        ({"vocab_size": 9, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16}, "gpt2"),
        ({"text_config": LLAMAS, "vision_config": {"hidden_size": 8}}, "llama"),
    ],
)  # fmt: skip
def test_an_unknown_family_is_told_by_the_keys_that_its_file_has(config: dict[str, Any], family: str) -> None:
    """Whatever it calls itself, the nearest one first."""
    with pytest.raises(SpecError) as caught:
        spec_of(config | {"model_type": "qwen9000"})
    said = str(caught.value)
    assert said.startswith(
        f'config.json: model_type "qwen9000" is not known: its keys are most like those of {family} '
    )
    assert said.endswith(" (--assume FAMILY counts it as one of a known family; --families FILE describes it)")


def test_empty_values_of_unknown_keys_are_ignored() -> None:
    """A file may say that it has no experts."""
    plain = spec_of({"model_type": "llama"})
    assert spec_of({"model_type": "llama", "num_experts": 0, "qk_norm": False, "moe": None, "adapters": {}}) == plain


@of_each(CASES)
def test_an_imported_spec_can_be_written_and_read_back(case: dict[str, Any]) -> None:
    spec = spec_of(case["config"])
    assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


def test_an_absent_architecture_means_the_family_s_usual_head() -> None:
    kinds = {name: spec_of({"model_type": name}).head.kind for name in ("llama", "bert", "t5")}
    assert kinds == {"llama": "language-model", "bert": "masked", "t5": "language-model"}


def test_every_table_row_can_be_built_from_its_defaults_or_names_what_it_needs() -> None:
    needs = []
    for family in FAMILIES:
        try:
            spec_of({"model_type": family})
        except SpecError:
            needs.append(family)
    assert sorted(needs) == [
        "bailing_moe",
        "bloom",
        "deepseek_v2",
        "dots1",
        "esm",
        "glm4_moe",
        "glm4v_moe_text",
        "lfm2_moe",
        "nemotron",
        "qwen3_omni_moe_text",
        "qwen4_exp_text",
    ]


# ---- experts, latent attention, and text models inside others ----


def test_a_file_that_describes_more_than_a_text_model_is_counted_whole() -> None:
    """Gemma 3 4B as it is published; the framework counts its text model alone the same."""
    config = {
        "model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
        "eoi_token_index": 256000, "image_token_index": 262144, "mm_tokens_per_image": 256,
        "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024,
        },
        "vision_config": {
            "hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16, "intermediate_size": 4304,
            "image_size": 896, "patch_size": 14, "vision_use_head": False, "model_type": "siglip_vision_model",
        },
    }  # fmt: skip
    spec = spec_of(config)
    assert _total(spec) == 3_880_263_168
    assert params(lower(spec).whole).total == 4_300_079_472
    assert spec.notes == ()


def test_a_tower_that_a_file_does_not_describe_is_named() -> None:
    """Llama 4 Scout without its `vision_config`: the class builds a tower of half the size of the released one."""
    text = {"model_type": "llama4_text", "num_local_experts": 16}
    note = "Not in the file: vision_config: its towers have the sizes that their class takes by default."
    assert note in spec_of({"model_type": "llama4", "text_config": text}).notes
    assert (
        note not in spec_of({"model_type": "llama4", "text_config": text, "vision_config": {"hidden_size": 1408}}).notes
    )


def test_layers_that_predict_further_tokens_are_left_out_and_named() -> None:
    note = "Left out: the layers that predict further tokens (num_nextn_predict_layers), as the class does; --set mtp=1 counts them as further last layers."
    assert note in spec_of({"model_type": "deepseek_v3"}).notes
    assert note not in spec_of({"model_type": "deepseek_v3", "num_nextn_predict_layers": 0}).notes


@pytest.mark.parametrize(
    ("config", "on"),
    [
        ({"model_type": "deepseek_v3"}, [LayerSelector(first=3), None]),
        ({"model_type": "llama4_text", "interleave_moe_layer_step": 2}, [None, LayerSelector(every=2, at=1)]),
        ({"model_type": "llama4_text", "moe_layers": [0, 3]}, [None, LayerSelector(layers=(0, 3))]),
        ({"model_type": "qwen3_moe", "mlp_only_layers": [5, 2]}, [LayerSelector(layers=(2, 5)), None]),
        ({"model_type": "qwen3_moe"}, [None]),
        ({"model_type": "qwen3_moe", "num_experts": 0}, [None]),
    ],
)
def test_which_layers_have_experts(config: dict[str, Any], on: list[LayerSelector | None]) -> None:
    assert [block.on for block in spec_of(config).feed_forwards] == on


def test_llama_4_sees_chunks_but_in_every_fourth_layer() -> None:
    attention = spec_of({"model_type": "llama4_text"}).attention
    assert isinstance(attention, Attention)
    assert (attention.window, attention.chunked, attention.pattern) == (8192, True, (*["local"] * 3, "global"))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"model_type": "hy_v3", "num_hidden_layers": 4, "num_shared_experts": 10**12},
            "feed_forward.shared_d_ff: comes out as 1536000000000000, and must be from 1 to 10^12",
        ),
        *(
            (
                {"model_type": "kimi_linear", "num_hidden_layers": 4, "linear_attn_config": {
                    "full_attn_layers": [2, 4], "kda_layers": layers, "head_dim": 64, "num_heads": 16}},
                "linear_attn_config: its two lists must name each layer from 1 to 4 once",
            )
            for layers in (["1", 3], [1.0, 3], [True, 3], [[1], 3], None, "13", {"1": 3})
        ),
    ],
)  # fmt: skip
def test_what_no_spec_could_hold_is_refused_where_it_is_read(config: dict[str, object], said: str) -> None:
    """Rather than where the spec is asked about, or read again."""
    with pytest.raises(SpecError) as caught:
        imported(config, name="x", where="file")
    assert str(caught.value) == f"file: {said}"


def test_sizes_that_a_file_leaves_to_its_class_are_named() -> None:
    """The class's own defaults are right, and easily overlooked: a file of 8B without its vocabulary is one of 7B."""
    whole = {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "vocab_size": 100,
    }
    note = "Not in the file, taken from the defaults of its class: vocab_size 32000."
    assert (
        note in imported({key: value for key, value in whole.items() if key != "vocab_size"}, name="x", where="x").notes
    )
    assert not any("Not in the file" in said for said in imported(whole, name="x", where="x").notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: a config.json is a JSON object"),
        (" \n", "is empty"),
        ('{"a": "b', "not JSON: Unterminated string"),
    ],
)
def test_a_file_of_nothing_or_of_half_is_refused_in_whole_words(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_object(text, "config.json", what="a config.json")
    assert str(caught.value).removesuffix(said).startswith("config.json:")
