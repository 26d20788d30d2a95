"""Families whose code stands in their own repositories, against what that code builds and what was published."""

from __future__ import annotations

from typing import Any

import pytest

from tests.importer.recorded import is_refused, recorded, spec_of
from tscale.core.costs.params import active_params, params
from tscale.models.lower import lower
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

LINES = recorded("remote.jsonl")
NOT_YET = {("qwen", "no_bias")}


@pytest.mark.parametrize("family", sorted({line["family"] for line in LINES}))
def test_each_change_of_a_key_is_counted_as_the_code_builds_it(family: str) -> None:
    for line in (line for line in LINES if line["family"] == family):
        if (family, line["changed"]) in NOT_YET:
            assert is_refused(line["config"])
            continue
        spec = spec_of(line["config"])
        assert (line["changed"], params(lower(spec)).total) == (line["changed"], line["total"])
        assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


PUBLISHED: list[tuple[dict[str, Any], int]] = [
    # model.safetensors.index.json of Qwen-7B: total_size 15,442,649,088 in 16 bits
    ({"model_type": "qwen", "architectures": ["QWenLMHeadModel"], "hidden_size": 4096, "intermediate_size": 22016, "kv_channels": 128,
      "max_position_embeddings": 32768, "no_bias": True, "num_attention_heads": 32, "num_hidden_layers": 32, "seq_length": 8192,
      "use_dynamic_ntk": True, "use_logn_attn": True, "use_flash_attn": "auto", "tie_word_embeddings": False, "vocab_size": 151936,
      "fp16": False, "rotary_pct": 1.0, "onnx_safe": None}, 15_442_649_088 // 2),
    # pytorch_model.bin.index.json of Baichuan2-13B-Chat: total_size 27,793,336,320 in 16 bits
    ({"model_type": "baichuan", "architectures": ["BaichuanForCausalLM"], "hidden_size": 5120, "intermediate_size": 13696,
      "model_max_length": 4096, "num_attention_heads": 40, "num_hidden_layers": 40, "vocab_size": 125696,
      "tie_word_embeddings": False, "_from_model_config": True}, 27_793_336_320 // 2),
]  # fmt: skip


@pytest.mark.parametrize(("config", "total"), PUBLISHED)
def test_published_checkpoints_hold_as_many(config: dict[str, Any], total: int) -> None:
    spec = spec_of(config)
    assert params(lower(spec)).total == total
    assert spec.positions.kind == ("rotary" if "max_position_embeddings" in config else "alibi")


def test_rows_of_llama_s_kin_count_as_llama_does() -> None:
    """Yi and InternLM without biases are Llama's layers under other names."""
    sizes = {
        "vocab_size": 1000,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
    }
    llama = params(lower(spec_of({"model_type": "llama"} | sizes))).total
    assert params(lower(spec_of({"model_type": "Yi"} | sizes))).total == llama
    assert params(lower(spec_of({"model_type": "internlm", "bias": False} | sizes))).total == llama
    assert params(lower(spec_of({"model_type": "internlm"} | sizes))).total == llama + 2 * 4 * 64


def test_deepseek_moe_16b_has_its_published_sizes() -> None:
    """Dai 2024, section 4: 16.4B parameters, 2.8B of them active."""
    spec = spec_of({
        "model_type": "deepseek", "first_k_dense_replace": 1, "hidden_size": 2048, "intermediate_size": 10944, "moe_intermediate_size": 1408,
        "moe_layer_freq": 1, "n_routed_experts": 64, "n_shared_experts": 2, "num_attention_heads": 16, "num_experts_per_tok": 6,
        "num_hidden_layers": 28, "num_key_value_heads": 16, "vocab_size": 102400, "scoring_func": "softmax", "aux_loss_alpha": 0.001,
        "seq_aux": True, "norm_topk_prob": False, "max_position_embeddings": 4096, "attention_bias": False,
    })  # fmt: skip
    ledger = lower(spec)
    assert (round(params(ledger).total / 1e9, 1), round(active_params(ledger).total / 1e9, 1)) == (16.4, 2.8)


LING: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    # the README of Ling-V2: 16B in total, 1.4B active, 789M of them not in the tables
    "Ling-mini-2.0": ({}, (16, 1.4, 0.789)),
    # Ling-flash-2.0's card: 100B, 6.1B active, 4.8B without tables; sizes as Megatron-Bridge's LingFlash2ModelProvider has them
    "Ling-flash-2.0": ({"hidden_size": 4096, "intermediate_size": 9216, "moe_intermediate_size": 1024, "num_attention_heads": 32,
                        "num_hidden_layers": 32, "num_nextn_predict_layers": 0}, (100, 6.1, 4.8)),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "billions"), LING.values(), ids=LING)
def test_ling_2_has_its_published_sizes(changed: dict[str, Any], billions: tuple[float, ...]) -> None:
    """To the printed digits, which the cards cut: 102.9B parameters are 100B there, and 6.16B active ones 6.1B."""
    ledger = lower(spec_of({"model_type": "bailing_moe_v2"} | changed))
    active = int(active_params(ledger).total)
    tables = 2 * 157_184 * changed.get("hidden_size", 2048)
    found = (int(params(ledger).total), active, active - tables)
    for one, printed in zip(found, billions, strict=True):
        places = -1 if printed == 100 else len(str(printed).partition(".")[2])
        assert one // 10 ** (9 - places) == round(printed * 10.0**places)


def test_phi_s_first_files_are_phi() -> None:
    """phi-1.5: 1,418,270,720, as transformers counts its own file of the same model."""
    spec = spec_of({"model_type": "phi-msft", "architectures": ["PhiForCausalLM"], "n_embd": 2048, "n_head": 32, "n_head_kv": None,
                    "n_inner": None, "n_layer": 24, "n_positions": 2048, "rotary_dim": 32, "vocab_size": 51200,
                    "tie_word_embeddings": False, "flash_attn": False, "fused_dense": False})  # fmt: skip
    assert params(lower(spec)).total == 1_418_270_720
