"""Counts what the code in repositories of families that transformers lacks builds, on the meta device.

`PYTHONPATH=TF446 python tests/oracle/record_remote.py SOURCES > tests/oracle/remote.jsonl` needs `torch` 2.13.0, `transformers` 4.46.3
in the folder TF446, `einops`, and in the folder SOURCES copies of the code that was published with the models, by the names of the
repositories that keep them, with + for /: zhangningboo/Qwen-7B (Qwen-7B), jrd77/Baichuan2-13B-Chat, bq-xiao/chatglm2-6b-model,
IntMeGroup/HarmonyIQA (InternLM2, with a head of its own, which is taken away), wxthu/nas_tuner (MiniCPM),
inclusionAI/Ming-UniVision (the text model of Ming, Ling's) and inclusionAI/Ling-V2. Names of families behind SOURCES limit it to these. Ling 2.0 needs `transformers` 4.56.2. It knows nothing of tscale.

Each line holds the `family`, what was `changed`, the configuration, and the parameters of the class, tied ones once.
"""

# mypy: ignore-errors
# torch and transformers are installed only where this is run
from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import torch
from transformers import PretrainedConfig

SOURCES = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


Build = Callable[[dict], torch.nn.Module]
"""From a configuration to its model."""


class Plain(PretrainedConfig):
    """A configuration that is what it is given, where a copy lacks the class of its own."""


def code(repository: str, *inner: str, config: str = "") -> ModuleType:
    """The module of models in a repository; `config`: the class of configurations that the copy lacks."""
    folder = SOURCES.joinpath(repository, *inner[:-1])
    sys.path.insert(0, str(folder.parent))
    if config:
        module = sys.modules[f"{folder.name}.{config.partition('.')[0]}"] = ModuleType(config)
        setattr(module, config.partition(".")[2], Plain)
    return importlib.import_module(f"{folder.name}.{inner[-1]}")


def main() -> None:
    """Prints a line a configuration."""
    for family in sys.argv[2:] or FAMILIES:
        make, base, changes = FAMILIES[family]
        build = make()
        for change in ({}, *changes):
            config = base | change
            with torch.device("meta"), redirect_stdout(io.StringIO()):
                model = build(dict(config))
            total = sum(value.numel() for value in model.parameters())
            line = {"family": family, "changed": ", ".join(change) or "nothing", "total": total}
            print(json.dumps(line | {"config": {"model_type": family} | config}), flush=True)


def qwen() -> Build:
    """Qwen-7B."""
    module = code("zhangningboo+Qwen-7B", "modeling_qwen")
    fixed = {"fp32": True, "use_flash_attn": False}
    return lambda config: module.QWenLMHeadModel(module.QWenConfig(**config, **fixed))


def baichuan() -> Build:
    """Baichuan 2 13B."""
    sys.modules["xformers"] = None
    module = code("jrd77+Baichuan2-13B-Chat", "modeling_baichuan")
    return lambda config: module.BaichuanForCausalLM(module.BaichuanConfig(**config))


def chatglm() -> Build:
    """ChatGLM2-6B."""
    module = code("bq-xiao+chatglm2-6b-model", "model", "modeling_chatglm")
    return lambda config: module.ChatGLMForConditionalGeneration(
        module.ChatGLMConfig(original_rope=True, **config), device="meta", empty_init=False
    )


def internlm2() -> Build:
    """InternLM2."""
    module = code("IntMeGroup+HarmonyIQA", "modeling_internlm2", config="configuration_internlm2.InternLM2Config")
    module.InternLM2Config = Plain

    def build(config: dict) -> torch.nn.Module:
        usual = {
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000,
            "rope_scaling": None,
            "pad_token_id": 2,
        }
        model = module.InternLM2ForCausalLM(
            Plain(**usual, initializer_range=0.02, use_cache=True, attn_implementation="eager", **config)
        )
        del model.mlpfinal
        return model

    return build


def minicpm() -> Build:
    """MiniCPM, from its third series on with sparse attention, which adds nothing."""
    sys.path.insert(0, str(SOURCES / "wxthu+nas_tuner"))
    module, config_of = (
        importlib.import_module("modeling_minicpm"),
        importlib.import_module("configuration_minicpm").MiniCPMConfig,
    )

    def build(config: dict) -> torch.nn.Module:
        made = config_of(**config)
        made._attn_implementation = "eager"
        return module.MiniCPMForCausalLM(made)

    return build


def bailing_moe() -> Build:
    """Ling's layers, as they stand in Ming."""
    for name in ("diff_loss_rf_swiglu", "torchvision", "torchvision.transforms"):
        sys.modules[name] = MagicMock(name=name, __spec__=None)
    sys.path.insert(0, str(SOURCES / "inclusionAI+Ming-UniVision" / "mingunivision"))
    module, config_of = (
        importlib.import_module("modeling_bailing_moe"),
        importlib.import_module("configuration_bailing_moe").BailingMoeConfig,
    )
    return lambda config: module.BailingMoeForCausalLM(
        config_of(**config, _attn_implementation="eager", pad_token_id=0)
    )


def bailing_moe_v2() -> Build:
    """Ling's layers of its second series."""
    module = code("inclusionAI+Ling-V2", "models", "modeling_bailing_moe_v2")
    return lambda config: module.BailingMoeV2ForCausalLM(
        module.BailingMoeV2Config(**config, attn_implementation="eager", pad_token_id=0)
    )


def each(**values: tuple) -> list[dict]:
    """The changes of one key each, to each of some values."""
    return [{key: value} for key, several in values.items() for value in several]


_LLAMA = {
    "vocab_size": 1000,
    "hidden_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "intermediate_size": 448,
}
FAMILIES = {
    "qwen": (qwen, _LLAMA | {"kv_channels": 32, "seq_length": 512}, [
        *each(vocab_size=(2000,), num_hidden_layers=(4,), intermediate_size=(512,), no_bias=(False,), seq_length=(1024,)),
        {"num_attention_heads": 4, "kv_channels": 64},
    ]),
    "baichuan": (baichuan, _LLAMA, each(
        vocab_size=(2000,), hidden_size=(512,), num_hidden_layers=(4,), num_attention_heads=(4,), intermediate_size=(512,),
        model_max_length=(2048,),
    )),
    "chatglm": (chatglm, {
        "padded_vocab_size": 1000, "hidden_size": 256, "num_layers": 3, "num_attention_heads": 8, "kv_channels": 32, "ffn_hidden_size": 448,
        "seq_length": 512, "rmsnorm": True, "add_qkv_bias": True, "add_bias_linear": False, "multi_query_attention": True,
        "multi_query_group_num": 2, "post_layer_norm": True,
    }, each(
        padded_vocab_size=(2000,), hidden_size=(512,), num_layers=(4,), num_attention_heads=(4,), kv_channels=(48,), ffn_hidden_size=(512,),
        seq_length=(1024,), add_qkv_bias=(False,), add_bias_linear=(True,), multi_query_attention=(False,), multi_query_group_num=(4,),
        post_layer_norm=(False,), rmsnorm=(False,),
    )),
    "internlm2": (internlm2, _LLAMA | {"num_key_value_heads": 2, "bias": False, "max_position_embeddings": 512, "tie_word_embeddings": False}, each(
        vocab_size=(2000,), hidden_size=(512,), num_hidden_layers=(4,), num_attention_heads=(4,), num_key_value_heads=(8,),
        intermediate_size=(512,), bias=(True,),
    )),
    "minicpm": (minicpm, _LLAMA | {"num_key_value_heads": 2, "attention_bias": False, "max_position_embeddings": 512, "tie_word_embeddings": True}, each(
        vocab_size=(2000,), hidden_size=(512,), num_hidden_layers=(4,), num_attention_heads=(4,), num_key_value_heads=(8,),
        intermediate_size=(512,), attention_bias=(True,), tie_word_embeddings=(False,),
    )),
    "bailing_moe": (bailing_moe, _LLAMA | {
        "num_key_value_heads": 2, "head_dim": 48, "moe_intermediate_size": 96, "num_experts": 8, "num_experts_per_tok": 2, "num_shared_experts": 2,
        "first_k_dense_replace": 1, "tie_word_embeddings": False, "max_position_embeddings": 512,
    }, each(
        vocab_size=(2000,), hidden_size=(512,), num_hidden_layers=(4,), num_attention_heads=(4,), num_key_value_heads=(8,), head_dim=(32,),
        intermediate_size=(512,), moe_intermediate_size=(128,), num_experts=(16,), num_shared_experts=(1, 0), first_k_dense_replace=(0, 2),
        use_qkv_bias=(True,), use_bias=(True,), norm_head=(True,),
    )),
    "bailing_moe_v2": (bailing_moe_v2, _LLAMA | {
        "num_key_value_heads": 2, "head_dim": 48, "moe_intermediate_size": 96, "num_experts": 8, "num_experts_per_tok": 2, "num_shared_experts": 2,
        "first_k_dense_replace": 1, "tie_word_embeddings": False, "max_position_embeddings": 512,
    }, each(
        vocab_size=(2000,), hidden_size=(512,), num_hidden_layers=(4,), num_attention_heads=(4,), num_key_value_heads=(8,), head_dim=(32,),
        intermediate_size=(512,), moe_intermediate_size=(128,), num_experts=(16,), num_shared_experts=(1, 0), first_k_dense_replace=(0, 2),
        use_qkv_bias=(True,), use_bias=(True,), use_qk_norm=(False,), norm_head=(True,), moe_router_enable_expert_bias=(False,),
        max_position_embeddings=(1024,),
    )),
}  # fmt: skip
"""How each is imported, a configuration of it, and the changes of one key that are tried."""


if __name__ == "__main__":
    main()
