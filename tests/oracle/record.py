"""Counts parameters with Hugging Face transformers on the meta device, one change of a configuration at a time.

`python tests/oracle/record.py > tests/oracle/variations.jsonl`, and `record.py experts` for the other file, needs `transformers` 5.23.0 and `torch` 2.13.0; it knows
nothing of tscale. Every field of a family's configuration class is varied, whether tscale reads it or not: a field that
the importer forgot would show as a difference. Each line holds the family, the configuration, what was changed, and the
parameters of the class that `architectures` names, those that are never trained apart.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import torch
import transformers
from transformers import (
    CONFIG_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
)

FAMILIES = {
    AutoModelForCausalLM: "llama mistral qwen2 gemma gemma2 phi phi3 granite cohere cohere2 glm glm4 nemotron smollm3 "
    "seed_oss arcee ernie4_5 helium stablelm olmo starcoder2 gpt_neox gpt2 openai-gpt gpt_neo gptj codegen gpt_bigcode "
    "opt bloom falcon mpt biogpt xglm",
    AutoModelForMaskedLM: "bert roberta xlm-roberta distilbert electra",
    AutoModelForSeq2SeqLM: "t5 mt5 umt5 bart mbart blenderbot m2m_100 pegasus marian",
}
"""The families of each usual head."""

EXPERTS = {
    AutoModelForCausalLM: "qwen3 gemma3_text olmo2 olmo3 exaone4 apertus persimmon hunyuan_v1_dense ministral ministral3 "
    "cwm granite_swa vaultgemma jais2 mixtral qwen3_moe qwen2_moe deepseek_v3 deepseek_v2 glm4_moe_lite youtu minicpm3 "
    "gpt_oss llama4_text glm4_moe granitemoe granitemoeshared phimoe dbrx ernie4_5_moe olmoe flex_olmo minimax_m2 "
    "hunyuan_v1_moe dots1 exaone_moe hy_v3 solar_open mellum",
}
"""The families of variations_experts.jsonl."""

BASE: dict[str, dict[str, Any]] = {
    "deepseek_v2": {"num_experts_per_tok": 6},
    "glm4_moe": {"head_dim": 128},  # the class's own heads do not divide its width
    "dots1": {"n_routed_experts": 64, "num_experts_per_tok": 6, "n_shared_experts": 2},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128, "num_experts": 8, "moe_topk": 2},
    "ministral": {"head_dim": 128},
    "dbrx": {"attn_config": {"kv_n_heads": 4, "rope_theta": 500000}},
    "nemotron": {"num_key_value_heads": 8},  # the class cannot do without
    "bloom": {"hidden_size": 1024, "n_layer": 4, "n_head": 16},  # the class's own are a toy's
    "gpt_neo": {"num_layers": 4, "attention_types": [[["global", "local"], 2]]},
}
"""What each change starts from beside the class's defaults and four layers."""

DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers")
WORDS = {"feed_forward_proj": ("relu", "gelu", "gated-gelu", "gated-silu")}
LISTS: dict[str, tuple[Any, ...]] = {
    "layer_types": (["full_attention"] * 4, ["sliding_attention"] * 4, ["full_attention", "sliding_attention"] * 2),
    "mlp_layer_types": (["dense"] * 4, ["sparse"] * 4, ["dense", "sparse"] * 2, ["sparse", "dense", "dense", "dense"]),
    "mlp_only_layers": ([0], [1, 2], [0, 1, 2, 3]),
    "moe_layers": ([], [1], [0, 1, 2], [0, 2]),
    "no_rope_layers": ([], [0, 1, 1, 0]),
    "attn_config": ({"rope_theta": 500000}, {"kv_n_heads": 8, "clip_qkv": 8, "rope_theta": 500000}),
    "ffn_config": ({"ffn_hidden_size": 64}, {"moe_num_experts": 8, "moe_top_k": 2, "ffn_act_fn": {"name": "silu"}}),
    "attention_types": ([[["global"], 4]], [[["global", "local", "local"], 1], [["global"], 1]]),
}
UNCOUNTED = ("token_id", "drop", "label", "_eps", "epsilon", "initializer", "init_std", "attention_layers")


def main() -> None:
    """Writes one line for each change that the class accepts."""
    logging.disable(logging.WARNING)
    later, named = sys.argv[1:2] == ["experts"], sys.argv[1:]
    for usual, families in (EXPERTS if later else FAMILIES).items():
        for family in families.split():
            if named in ([], ["experts"]) or family in named:
                record(family, usual)


def record(family: str, usual: type) -> None:
    """Writes one family's lines; what the class itself refuses is told on standard error instead."""
    for changed, config in variations(family, usual):
        try:
            parameters = list(built(config).parameters())
        except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
            print(f"{family} {changed}: {error!r}"[:150], file=sys.stderr)
            continue
        total = sum(p.numel() for p in parameters)
        frozen = sum(p.numel() for p in parameters if not p.requires_grad)
        print(json.dumps({"changed": changed, "config": config, "total": total, "frozen": frozen}))


def variations(family: str, head: type) -> Iterator[tuple[str, dict[str, Any]]]:
    """The class's defaults, the same as the class saves them, each class on them, and each field changed alone."""
    defaults = CONFIG_MAPPING[family]().to_dict()
    shallow = {key: 4 for key in DEPTHS if key in defaults}
    base = {"model_type": family, **shallow, **BASE.get(family, {})}
    usual, *others = classes(family, head)
    yield "nothing", {"model_type": family, **BASE.get(family, {}), "architectures": [usual]}
    yield "nothing, saved", {**CONFIG_MAPPING[family].from_dict(base).to_dict(), "architectures": [usual]}
    for name in others:
        yield "architectures", {**base, "architectures": [name]}
    for key in sorted((set(defaults) - set(PretrainedConfig().to_dict())) | {"head_dim"}):
        if not any(part in key for part in UNCOUNTED):
            for value in values(key, base.get(key, defaults.get(key))):
                yield key, {**base, key: value, "architectures": [usual]}


def values(key: str, value: Any) -> tuple[Any, ...]:
    """Other values of a field, by its type."""
    if key in WORDS or key in LISTS:
        return WORDS.get(key, ()) + LISTS.get(key, ())
    match value:
        case bool():
            return (not value,)
        case int():
            return (value * 2, max(value // 2, 1))
        case None:
            return (True, 2, 64)
        case _:
            return ()


UNLISTED = {"siglip_text_model": "SiglipTextModel", "siglip2_text_model": "Siglip2TextModel"}
"""Classes that no automatic one knows."""


def classes(family: str, head: type) -> list[str]:
    """The class of the usual head, and those of the others."""
    if family in UNLISTED:
        return [UNLISTED[family]]
    names: list[str] = []
    for auto in (head, AutoModel, AutoModelForPreTraining):
        known = auto._model_mapping.get(CONFIG_MAPPING[family], None)
        if known is not None and known.__name__ not in names:
            names.append(known.__name__)
    return names


def built(config: dict[str, Any]) -> torch.nn.Module:
    """The model of a configuration, without memory behind it."""
    with torch.device("meta"):
        (name,) = config["architectures"]
        return getattr(transformers, name)(CONFIG_MAPPING[config["model_type"]].from_dict(config))


if __name__ == "__main__":
    main()
