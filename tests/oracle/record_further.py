"""Counts still more families as `record_encoders.py` and `record_2026.py` do, each field changed alone.

`python tests/oracle/record_further.py [FAMILY ...] > tests/oracle/variations_further.jsonl` needs `transformers` 5.24.0 and `torch`
2.13.0 or later. Every class of a family's module that classifies, answers or predicts is counted on the defaults too, with three
labels, with two or with twelve. FLOPs are those of 70 tokens on a processor, which runs what the meta device cannot; null where a class does not run on words alone.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Iterator

import record
import record_2026
import record_more
import torch
import transformers
from record_mixers import LENGTH
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

FAMILIES = {
    AutoModelForMaskedLM: "xmod fnet convbert luke roc_bert ultrabert esmc",
    AutoModel: "lilt markuplm layoutlmv3 openai_privacy_filter muse_glimmer_text hy_v4_vl_text",
    AutoModelForCausalLM: "longcat_flash beam doge apertus1p5_text",
    AutoModelForSeq2SeqLM: "prophetnet",
}
SMALL = {
    "vocab_size": 1000,
    "hidden_size": 192,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
}
record.BASE |= {
    **dict.fromkeys(("xmod", "convbert", "lilt", "markuplm"), SMALL),
    "luke": SMALL | {"entity_vocab_size": 200, "entity_emb_size": 32},
    "roc_bert": SMALL | {"shape_vocab_size": 300, "shape_embed_dim": 40, "pronunciation_embed_dim": 24},
    **dict.fromkeys(("ultrabert", "esmc"), SMALL | {"pad_token_id": 0}),
    "layoutlmv3": SMALL | {"coordinate_size": 32, "shape_size": 32},
    "beam": SMALL
    | {
        "num_key_value_heads": 2,
        "head_dim": 32,
        "pad_token_id": 0,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 40,
        "n_group": 2,
        "topk_group": 1,
        "sliding_window": 16,
    },
    "doge": SMALL | {"num_key_value_heads": 2},
    "apertus1p5_text": SMALL | {"num_key_value_heads": 2},
    "hy_v4_vl_text": {
        "pad_token_id": 0,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "hidden_size": 256,
        "vocab_size": 500,
        "num_hidden_layers": 4,
        "intermediate_size": 512,
        "moe_intermediate_size": 128,
    },
    "muse_glimmer_text": SMALL | {"num_key_value_heads": 2, "head_dim": 40, "pad_token_id": 0},
    "openai_privacy_filter": SMALL
    | {"num_key_value_heads": 2, "num_local_experts": 8, "num_experts_per_tok": 2, "pad_token_id": 0},
    "longcat_flash": {
        "vocab_size": 1000,
        "hidden_size": 192,
        "num_attention_heads": 4,
        "num_layers": 2,
        "ffn_hidden_size": 256,
        "q_lora_rank": 48,
        "kv_lora_rank": 32,
        "n_routed_experts": 8,
        "zero_expert_num": 4,
        "moe_topk": 3,
        "expert_ffn_hidden_size": 40,
        "qk_nope_head_dim": 24,
        "qk_rope_head_dim": 16,
        "v_head_dim": 20,
    },
    "prophetnet": {
        "vocab_size": 1000,
        "hidden_size": 192,
        "num_encoder_layers": 3,
        "num_decoder_layers": 2,
        "num_encoder_attention_heads": 4,
        "num_decoder_attention_heads": 6,
        "encoder_ffn_dim": 256,
        "decoder_ffn_dim": 320,
    },
    "fnet": {key: value for key, value in SMALL.items() if key != "num_attention_heads"},
}
DOGE_MOE = {"is_moe": True, "num_experts": 64, "num_experts_per_tok": 4}
record_more.EXTRA |= {
    "xmod": [
        {"languages": ["en_XX", "de_DE", "fr_FR"], "default_language": "en_XX"},
        {"languages": ["en_XX", "de_DE"], "default_language": "de_DE", "pre_norm": True, "adapter_layer_norm": True},
        {"adapter_reduction_factor": 5},
    ],
    "convbert": [
        {"embedding_size": 64},
        {"head_ratio": 1, "num_attention_heads": 8},
        {"num_groups": 2},
        {"conv_kernel_size": 4},
    ],
    "luke": [{"entity_emb_size": 192}, {"use_entity_aware_attention": False}],
    "roc_bert": [{"enable_shape": False, "enable_pronunciation": False}],
    "layoutlmv3": [
        {"has_relative_attention_bias": False, "visual_embed": False},
        {"input_size": 100, "patch_size": 20},
    ],
    "ultrabert": [
        {"layer_types": ["sliding_attention"] * 4},
        {"layer_types": ["full_attention", "sliding_attention"] * 2},
        {"attention_windows": [64, 64, 0, 64]},
    ],
    "doge": [
        DOGE_MOE,
        DOGE_MOE | {"num_experts": 50, "mlp_bias": True, "attention_bias": True},
        DOGE_MOE | {"num_experts_per_tok": 3, "intermediate_size": 320},
        {"sliding_window": 16, "num_key_value_heads": None},
    ],
    "apertus1p5_text": [{"output_vocab_size": 700}, {"output_vocab_size": 1000}],
    "muse_glimmer_text": [{"num_hidden_layers": 6}, {"layer_types": ["full_attention", "sliding_attention"] * 2}],
    "openai_privacy_filter": [{"architectures": ["OpenAIPrivacyFilterForTokenClassification"]}],
    "longcat_flash": [{"zero_expert_num": 0}, {"zero_expert_num": 12, "n_routed_experts": 16}, {"router_bias": True}],
    "beam": [
        {"layer_types": ["full_attention"] * 4},
        {"mlp_layer_types": ["dense", "sparse"] * 2},
        {"num_hidden_layers": 7},
    ],
    "prophetnet": [
        {"tie_word_embeddings": False},
        {"ngram": 1},
        {"ngram": 5},
        {"num_buckets": 7, "ngram": 3},
        {"pad_token_id": 3},
        {"add_cross_attention": False},
        *(
            {"tie_word_embeddings": False, "ngram": 3, "architectures": [name]}
            for name in ("ProphetNetModel", "ProphetNetForCausalLM", "ProphetNetEncoder", "ProphetNetDecoder")
        ),
    ],
    "lilt": [{"channel_shrink_ratio": 2}, {"hidden_size": 96, "num_attention_heads": 2}],
    "markuplm": [{"max_depth": 7, "xpath_unit_hidden_size": 12}],
}
EXTRA_WORDS = {"xmod": {"default_language": "en_XX"}}
"""What a class needs in its file to be run on words alone."""
PREDICTS = ("Classification", "QuestionAnswering", "MultipleChoice", "CausalLM", "MaskedLM", "PreTraining", "NextSentencePrediction",
            "ConditionalGeneration", "Model", "Encoder", "Decoder")  # fmt: skip


def main() -> None:
    """Writes one line for each change that the class accepts."""
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    usual_values = record.values
    record.values = lambda key, value: (*usual_values(key, value), *record_2026.FACTORS.get(key, ()))
    for usual, families in FAMILIES.items():
        for family in families.split():
            if not sys.argv[1:] or family in sys.argv[1:]:
                for changed, config in (*record_more_of(family, usual), *heads(family)):
                    try:
                        write(changed, config)
                    except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
                        print(f"{family} {changed}: {error!r}"[:200], file=sys.stderr)


def record_more_of(family: str, usual: type) -> Iterator[tuple[str, dict]]:
    """The variations of one field each, and those of `EXTRA`."""
    found = list(record.variations(family, usual))
    yield from found
    plain = {"model_type": family, "architectures": found[0][1]["architectures"], **record.BASE.get(family, {})}
    for changes in record_more.EXTRA.get(family, ()):
        yield " and ".join(changes), {**plain, **changes}


def heads(family: str) -> Iterator[tuple[str, dict]]:
    """Every class of the family's module that has a head, and the body."""
    module = importlib.import_module(CONFIG_MAPPING[family].__module__.replace(".configuration_", ".modeling_"))
    for name in module.__all__:
        if name.endswith(PREDICTS) and not name.endswith("PreTrainedModel"):
            for count in (
                (3, 12)
                if name.endswith("TokenClassification")
                else (2,)
                if name.endswith("QuestionAnswering")
                else (3,)
            ):
                labels = {str(number): f"LABEL_{number}" for number in range(count)}
                config = {
                    "model_type": family,
                    **record.BASE.get(family, {}),
                    "architectures": [name],
                    "id2label": labels,
                }
                yield f"head {name}", config


def write(changed: str, config: dict) -> None:
    """One configuration, counted."""
    model, parameters = built(config), None
    parameters = list(model.parameters())
    line = {
        "changed": changed,
        "config": config,
        "total": sum(p.numel() for p in parameters),
        "frozen": sum(p.numel() for p in parameters if not p.requires_grad),
        "flops": flops(config, sum(p.numel() for p in parameters)),
        "active": record_more.active(model),
        "cache": record_2026.cache(model) if "CausalLM" in config["architectures"][0] else None,
    }
    print(json.dumps(line), flush=True)


def built(config: dict, device: str = "meta") -> torch.nn.Module:
    """The class that a configuration names."""
    said = {key: value for key, value in config.items() if key != "architectures"}
    if "id2label" in said:
        said["id2label"] = {int(key): value for key, value in said["id2label"].items()}
    configuration = CONFIG_MAPPING[config["model_type"]].from_dict(EXTRA_WORDS.get(config["model_type"], {}) | said)
    with torch.device(device):
        return getattr(transformers, config["architectures"][0])(configuration).eval()


def flops(config: dict, total: int) -> int | None:
    """Forward FLOPs of 70 words: on the meta device, or of a small model with memory behind it where that cannot run."""
    if total > MOST or "MultipleChoice" in config["architectures"][0]:
        return None
    for device in ("meta", "cpu"):
        try:
            model = built(config, device)
            # the counter knows no fused kernel of a processor, and grouped products of experts there are in BF16 alone
            model.config._attn_implementation = model.config._experts_implementation = "eager"
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                words = torch.full((1, LENGTH), 5, device=device)
                model(input_ids=words, **more_inputs(config, words))
            return counter.get_total_flops()
        except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
            print(f"{config['architectures']} flops: {error!r}"[:200], file=sys.stderr)
    return None


def more_inputs(config: dict, words: torch.Tensor) -> dict:
    """What a class takes besides words: those of the other stack. Its cache is made for as many layers as the encoder has."""
    if config["model_type"] != "prophetnet":
        return {}
    two = config["architectures"][0] in ("ProphetNetForConditionalGeneration", "ProphetNetModel")
    return {"use_cache": False} | ({"decoder_input_ids": words} if two else {})


MOST = 40_000_000
"""Parameters of a model that is run."""

if __name__ == "__main__":
    main()
