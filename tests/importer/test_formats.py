"""Files of other programs, against the parameters that those programs' own classes have for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import run
from tests.importer.recorded import is_refused, recorded, spec_of
from tscale.core.costs.params import params
from tscale.errors import RequestError, SpecError
from tscale.importer.formats import FORMATS, format_of
from tscale.importer.reader import imported
from tscale.models.lower import lower
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

LINES = recorded("other_formats.jsonl")
PROGRAMS = sorted({line["program"] for line in LINES})
LLAMA = next(line["config"] for line in LINES if line["program"] == "llama3")
MISTRAL = next(line["config"] for line in LINES if line["program"] == "mistral")


def _total(config: dict[str, Any]) -> int:
    return int(params(lower(spec_of(config))).total)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_change_of_a_key_is_counted_as_the_program_counts_it(program: str) -> None:
    lines = [line for line in LINES if line["program"] == program]
    wrong = [(line["changed"], _total(line["config"]), line["total"]) for line in lines
             if _total(line["config"]) != line["total"]]  # fmt: skip
    assert len(lines) >= 8
    assert wrong == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_spec_can_be_written_and_read_back(program: str) -> None:
    spec = spec_of(next(line["config"] for line in LINES if line["program"] == program))
    assert spec.notes[0].startswith("Read as ")
    assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


@pytest.mark.parametrize(
    ("config", "total"),
    [
        # Llama 3.1 8B, Llama 2 7B and 70B: the totals that Hugging Face shows on their pages
        ({"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "multiple_of": 1024,
          "ffn_dim_multiplier": 1.3, "norm_eps": 1e-05, "rope_theta": 500000.0, "use_scaled_rope": True}, 8030261248),
        ({"dim": 4096, "multiple_of": 256, "n_heads": 32, "n_layers": 32, "norm_eps": 1e-05, "vocab_size": 32000},
         6738415616),
        ({"dim": 8192, "multiple_of": 4096, "ffn_dim_multiplier": 1.3, "n_heads": 64, "n_kv_heads": 8, "n_layers": 80,
          "norm_eps": 1e-05, "vocab_size": 32000}, 68976648192),
        # Mistral 7B and Mixtral 8x7B
        (MISTRAL | {"dim": 4096, "n_layers": 32, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8,
                    "vocab_size": 32000, "sliding_window": 4096}, 7241732096),
        (MISTRAL | {"dim": 4096, "n_layers": 32, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8,
                    "vocab_size": 32000, "moe": {"num_experts_per_tok": 2, "num_experts": 8}}, 46702792704),
        # mamba-2.8b
        ({"d_model": 2560, "n_layer": 64, "vocab_size": 50277, "ssm_cfg": {}, "rms_norm": True, "residual_in_fp32": True,
          "fused_add_norm": True, "pad_vocab_size_multiple": 8}, 2768345600),
    ],
)  # fmt: skip
def test_published_models_have_their_published_totals(config: dict[str, Any], total: int) -> None:
    assert _total(config) == total


def test_a_tensorrt_llm_config_counts_as_the_model_that_it_was_converted_from() -> None:
    """Llama 3 8B, whose total is published, inside the file of an engine; its weights are in 8 bits."""
    config = {
        "architecture": "LlamaForCausalLM", "dtype": "float16", "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 128256,
        "max_position_embeddings": 8192, "hidden_act": "silu", "norm_epsilon": 1e-05, "head_size": 128,
        "position_embedding_type": "rope_gpt_neox", "mapping": {"world_size": 1, "tp_size": 1, "pp_size": 1},
        "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"},
    }  # fmt: skip
    assert _total(config) == 8030261248
    spec = spec_of({"version": "0.17.0", "pretrained_config": config, "build_config": {"max_seq_len": 8192}})
    assert params(lower(spec)).total == 8030261248
    assert spec.weights is not None
    assert (spec.weights.format, spec.weights.cache) == ("fp8", "fp8")
    qwen = config | {"architecture": "Qwen2ForCausalLM", "qwen_type": "qwen2", "quantization": None, "head_size": 128}
    assert _total(qwen) == 8030261248 + 32 * (4096 + 2 * 1024)  # biases on queries, keys and values
    assert is_refused(config | {"architecture": "OPTForCausalLM"})


def test_what_fp8_files_keep_in_eight_bits_is_read() -> None:
    deepseek = next(line["config"] for line in LINES if line["program"] == "deepseek")
    assert spec_of(deepseek).weights is None
    weights = spec_of(deepseek | {"dtype": "fp8"}).weights
    assert weights is not None
    assert weights.format == "fp8-128x128"
    weights = spec_of(MISTRAL | {"quantization": {"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"}}).weights
    assert weights is not None
    assert weights.format == "fp8"


def test_a_file_that_says_no_context_has_none() -> None:
    assert spec_of(LLAMA).context is None
    assert spec_of(MISTRAL | {"max_position_embeddings": 4096}).context == 4096


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LLAMA | {"vocab_size": -1},
         "vocab_size -1 is read from the tokenizer: write the number in its place, such as 32000 for Llama 1 and 2"),
        (LLAMA | {"dim": "wide"}, 'dim must be a whole number from 1 to 10^12, not "wide"'),
        (LLAMA | {"vision_num_cross_attention_layers": 8},
         "key \"vision_num_cross_attention_layers\" (8) is not known for Meta's params.json, and may change what is counted"),
        (LLAMA | {"ffn_dim_multiplier": 0}, "ffn_dim_multiplier must be a number from 0 to 1000, not 0"),
        (MISTRAL | {"moe": {"num_experts": 4, "num_experts_per_tok": 2, "first_k_dense_replace": 1}},
         "moe.first_k_dense_replace is not known yet without latent attention"),
        (MISTRAL | {"n_heads": None}, 'no "n_heads": Mistral\'s params.json needs it'),
        (MISTRAL | {"vision_encoder": {"hidden_size": 8}},
         "vision_encoder: a mapping is not known yet for Mistral's params.json: only null is"),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_keys_of_the_file(config: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(config)
    assert str(caught.value) == f"config.json: {said}"


def test_a_known_format_needs_no_assumed_family() -> None:
    with pytest.raises(RequestError, match=r"config\.json is Meta's params\.json, which is known: drop --assume"):
        imported(LLAMA, name="x", where="config.json", assume="llama")


def test_the_files_of_a_program_are_of_one_format() -> None:
    found = {(line["program"], getattr(format_of(line["config"]), "title", None)) for line in LINES}
    assert len(found) == len(PROGRAMS)
    assert {title for _, title in found} <= {one.title for one in FORMATS}


def test_a_folder_is_read_by_what_its_program_looks_for(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(json.dumps(LLAMA))
    done = run("params", str(tmp_path), "--format", "json")
    total = next(line["total"] for line in LINES if line["config"] == LLAMA)
    assert (done.code, json.loads(done.out)["params"]["total"]) == (0, total)
    (tmp_path / "params.json").unlink()
    lit = next(line for line in LINES if line["program"] == "litgpt")
    (tmp_path / "model_config.yaml").write_text(
        "\n".join(f"{key}: {json.dumps(value)}" for key, value in lit["config"].items())
    )
    done = run("params", str(tmp_path / "model_config.yaml"), "--format", "json")
    assert json.loads(done.out)["params"]["total"] == lit["total"]
    assert run("validate", str(tmp_path / "model_config.yaml")).code == 0
