"""Keys that a family's classes do not read change nothing, and are named; what they may read is refused as ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import of_each
from tests.importer.recorded import recorded, spec_of
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.params import params
from tscale.core.workload import SequenceLengths
from tscale.errors import SpecError
from tscale.importer.config_file import config_spec
from tscale.importer.families import FAMILIES, NESTED
from tscale.importer.harmless import HARMLESS
from tscale.importer.known_keys import read_by
from tscale.importer.reader import imported
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

LINES = recorded("unread.jsonl")
FOREIGN = sorted(frozenset().union(*(read_by(family) or frozenset() for family in FAMILIES)))


def _note(config: dict[str, Any]) -> str:
    return " ".join(note for note in spec_of(config).notes if note.startswith("Not read by this family: "))


@of_each(LINES)
def test_every_key_that_only_other_families_read_changes_nothing(line: dict[str, Any]) -> None:
    """The framework built its class with all of them set; so they are here, but for those that this family's rows ask about."""
    config = line["config"]
    family = FAMILIES[config["model_type"]]
    asked = {*family.reads, *family.fixed, *family.aliases, *(read_by(config["model_type"]) or ())}
    spec = spec_of({key: 3 for key in FOREIGN if key not in asked and key not in HARMLESS} | config)
    assert params(lower(spec)).total == line["total"]
    assert "Not read by this family: " in " ".join(spec.notes)


def test_most_families_were_recorded_with_the_keys_of_all_others() -> None:
    recorded_types = {line["config"]["model_type"] for line in LINES}
    assert len(recorded_types) > 140
    unknown = {name for name in (*FAMILIES, *NESTED) if read_by(name) is None}
    of_code = {name for name, family in FAMILIES.items() if family.group == "repository"}
    assert unknown == {*of_code, "xlm-prophetnet"}  # whose class the release no longer has


@pytest.mark.parametrize(
    ("config", "named", "refused"),
    [
        ({"model_type": "llama", "kv_lora_rank": 512}, "kv_lora_rank", 'key "kv_lora_rank" (512) is not known for llama, and may change what is counted'),
        ({"model_type": "mistral", "num_local_experts": 8}, "num_local_experts", 'key "num_local_experts" (8) is not known for mistral, and may change what is counted'),
        ({"model_type": "bert", "position_embedding_type": "relative_key"}, "position_embedding_type", 'position_embedding_type: "relative_key" is not known yet for bert: only "absolute" is'),
        ({"model_type": "deepseek_v3", "moe_layer_freq": 2}, "moe_layer_freq", "moe_layer_freq: 2 is not known yet for deepseek_v3: only 1 is"),
        ({"model_type": "gemma3", "audio_config": {"layers": 2}, "text_config": {}}, "audio_config", 'key "audio_config" (a mapping) is not known for gemma3, and may change what is counted'),
        ({"model_type": "gemma3", "text_config": {"experts": 4}}, "experts", 'key "experts" (4) is not known for gemma3_text, and may change what is counted'),
        ({"model_type": "qwen2_vl", "hidden_size": 1024, "audio_tower": {"layers": 2}}, "audio_tower", 'key "audio_tower" (a mapping) is not known for qwen2_vl_text, and may change what is counted'),
    ],
)  # fmt: skip
def test_it_is_named_in_one_line_and_refused_where_that_is_asked_for(
    config: dict[str, Any], named: str, refused: str
) -> None:
    assert _note(config) == f"Not read by this family: {named}."
    with pytest.raises(SpecError) as caught:
        imported(config, name="x", where="config.json", strict=True)
    assert str(caught.value) == f"config.json: {refused}"


def test_what_is_empty_or_says_the_same_again_is_not_worth_a_line() -> None:
    silent: list[dict[str, Any]] = [
        {"model_type": "llama", "num_experts": 0, "moe": None, "adapters": {}},
        {"model_type": "phi3", "full_attn_mod": 1},
        {"model_type": "gemma2", "sliding_window": 512, "sliding_window_size": 512},
        {"model_type": "llava", "vocab_size": 32064, "text_config": {"vocab_size": 32064}},
        {"model_type": "llama", "_attn_implementation_autoset": True, "_attn_implementation_internal": "eager",
         "sparsity_config": {"a": 1}, "sentence_transformers": {"a": 1}, "neuron": {"a": 1}},
    ]  # fmt: skip
    assert [_note(config) for config in silent] == [""] * len(silent)


def test_code_of_the_repository_s_own_is_said_to_be_able_to_read_them() -> None:
    own = {"auto_map": {"AutoModel": "modeling_x.X"}}
    assert _note({"model_type": "llama", "use_mtp": True, "moe_router_dtype": "float32", **own}) == (
        "Not read by this family: use_mtp, moe_router_dtype. The repository's own code (auto_map) may read them."
    )
    assert _note({"model_type": "gemma3", "extra": 1, "text_config": own}).endswith("(auto_map) may read it.")


@pytest.mark.slow
def test_a_long_list_of_them_is_cut() -> None:
    note = _note({"model_type": "llama", **{f"key_{number}": 1 for number in range(100_000)}})
    assert note.endswith("key_10, key_11 and 99,988 more.")
    assert len(note) < 250


def test_nemotron_h_with_a_rank_that_mamba_2_has_no_projection_for() -> None:
    """Nemotron-H 8B's own file has it; NVIDIA states some 2.0 GiB of cache at 128,000 tokens for it."""
    pattern = "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-"
    config = {
        "model_type": "nemotron_h", "hidden_size": 4480, "intermediate_size": 15680, "num_hidden_layers": 56,
        "hybrid_override_pattern": pattern, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
        "mamba_num_heads": 128, "mamba_head_dim": 80, "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4, "expand": 2,
        "vocab_size": 131072, "max_position_embeddings": 131072, "time_step_rank": 256,
    }  # fmt: skip
    ledger = lower(spec_of(config))
    assert params(ledger).total == 8_888_227_328
    assert round(cache_bytes(ledger, SequenceLengths(128_000), 16).total / 2**30, 2) == 2.02
    assert _note(config) == "Not read by this family: time_step_rank."


# ---- what Python's json writes ----


def test_infinity_may_stand_where_nothing_is_counted_by_it() -> None:
    text = '{"model_type": "mamba2", "time_step_limit": [0.0, Infinity]}'
    spec = config_spec(text, Path("config.json"), "config.json")
    assert isinstance(spec, ModelSpec)
    assert params(lower(spec)).total == 7_285_403_648
    with pytest.raises(SpecError, match="hidden_size must be a whole number from 1 to 10\\^12, not inf"):
        config_spec('{"model_type": "llama", "hidden_size": Infinity}', Path("config.json"), "config.json")


# ---- a head that the file does not say to be tied ----

TIED = "tie_word_embeddings is not said next to text_config: tied, as transformers 5.24.0 takes it; releases before 5 took text_config's."


@pytest.mark.parametrize("text", [{}, {"tie_word_embeddings": False}, {"tie_word_embeddings": True}])
def test_where_a_file_is_silent_the_head_is_tied_as_the_release_does_and_that_is_said(text: dict[str, Any]) -> None:
    spec = spec_of({"model_type": "mistral3", "text_config": text})
    assert (spec.tied, TIED in spec.notes) == (True, True)
    said = spec_of({"model_type": "mistral3", "tie_word_embeddings": False, "text_config": {}})
    assert (said.tied, TIED in said.notes) == (False, False)


def test_a_class_may_be_written_as_its_repository_does() -> None:
    own = {"model_type": "kimi_k25", "architectures": ["KimiK25ForConditionalGeneration"], "tie_word_embeddings": False}
    inner = {"num_hidden_layers": 4, "n_routed_experts": 8}
    spec = spec_of(own | {"text_config": inner | {"model_type": "kimi_k2"}})
    assert params(lower(spec)).total == params(lower(spec_of(own | {"text_config": inner}))).total


def test_a_model_type_that_the_release_reads_as_another_is_read_so_and_named() -> None:
    small = {"num_hidden_layers": 4, "n_routed_experts": 8, "num_nextn_predict_layers": 0}
    spec = spec_of({"model_type": "kimi_k2", "architectures": ["DeepseekV3ForCausalLM"], **small})
    assert params(lower(spec)).total == params(lower(spec_of({"model_type": "deepseek_v3", **small}))).total
    note = (
        "model_type kimi_k2 is read as deepseek_v3, as transformers 5.24.0 does; the repository's own code may differ."
    )
    assert note in spec.notes


@pytest.mark.parametrize("model_type", [["llama"], {"a": 1}])
def test_a_family_may_be_assumed_of_a_file_whose_model_type_is_no_text(model_type: object) -> None:
    config: dict[str, object] = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    spec = imported(config | {"model_type": model_type}, name="x", where="config.json", assume="llama")
    assert spec.assumed is not None
    assert spec.assumed.model_type is None


def test_a_class_of_a_whole_may_have_a_name_of_its_own() -> None:
    config: dict[str, object] = {"model_type": "gemma3", "text_config": {}}
    config["architectures"] = ["FooForConditionalGeneration"]
    said = "architectures: FooForConditionalGeneration is counted as Gemma3ForConditionalGeneration, which has the same head."
    assert said in spec_of(config).notes
    with pytest.raises(
        SpecError, match='architectures: "FooForConditionalGeneration" is not known for gemma3: only Gemma3For'
    ):
        imported(config, name="x", where="config.json", strict=True)


def test_the_table_is_small_and_of_one_release() -> None:
    table = json.loads((Path(__file__).parents[2] / "src" / "tscale" / "importer" / "keys.json").read_text())
    assert table["transformers"] == "5.24.0"
    assert {"time_step_rank", "use_mtp"}.isdisjoint(table["nemotron_h"].split())
