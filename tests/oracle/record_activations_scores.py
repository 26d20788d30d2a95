"""Records what autograd keeps of whole small models whose scores, experts, heads or inputs are of their own.

`python tests/oracle/record_activations_scores.py > tests/oracle/activations_scores.jsonl` needs `transformers` 5.23.0 and
`torch` 2.13.0; it knows nothing of tscale. The lines are those of `record_activations.py`; Whisper's have a length of what is
written beside the constant one of what is heard. XLNet reads segments, and no second stream.

`flash` beside DeBERTa is the fused attention of `flashdeberta` 0.0.8 (which needs `triton`) in transformers' model. Its kernel
needs a GPU: a stand-in returns arrays of the shapes and formats that it returns, and the library's own autograd function
decides what is kept.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import logging
from typing import Any

import torch
import transformers
from record_activations import DTYPES, kept, line
from transformers import CONFIG_MAPPING

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
ELECTRA = {
    "model_type": "electra", "vocab_size": 128, "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2,
    "intermediate_size": 160, "embedding_size": 48, **NO_DROPOUT,
}  # fmt: skip
XLNET = {
    "model_type": "xlnet", "vocab_size": 128, "d_model": 64, "n_layer": 2, "n_head": 4, "d_inner": 160, "dropout": 0.0,
    "ff_activation": "gelu", "summary_last_dropout": 0.0,
}  # fmt: skip
JETMOE = {
    "model_type": "jetmoe", "vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "num_key_value_heads": 2,
    "num_attention_heads": 4, "kv_channels": 24, "intermediate_size": 96, "num_local_experts": 4,
    "num_experts_per_tok": 2, "tie_word_embeddings": True, "output_router_logits": False,
}  # fmt: skip
WHISPER = {
    "model_type": "whisper", "vocab_size": 128, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 160, "decoder_ffn_dim": 160,
    "num_mel_bins": 20, "max_source_positions": 24, "max_target_positions": 64, "dropout": 0.0, "attention_dropout": 0.0,
    "activation_dropout": 0.0, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
    "suppress_tokens": None, "begin_suppress_tokens": None,
}  # fmt: skip
REMBERT = {
    "model_type": "rembert", "vocab_size": 128, "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2,
    "intermediate_size": 160, "input_embedding_size": 48, "output_embedding_size": 80, "classifier_dropout_prob": 0.0,
    **NO_DROPOUT,
}  # fmt: skip
DEBERTA = {
    "model_type": "deberta", "vocab_size": 128, "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2,
    "intermediate_size": 160, "max_position_embeddings": 32, "relative_attention": True, "pos_att_type": ["c2p", "p2c"],
    "position_biased_input": False, "type_vocab_size": 0, **NO_DROPOUT,
}  # fmt: skip
DEBERTA2 = {
    **DEBERTA, "model_type": "deberta-v2", "position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True,
}  # fmt: skip

DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}

MODELS: dict[str, tuple[dict[str, Any], tuple[dict[str, Any], ...]]] = {
    "WhisperForConditionalGeneration": (
        WHISPER, ({}, {"dropout": 0.1, "attention_dropout": 0.1}, {"encoder_layers": 3}, {"num_mel_bins": 32, "d_model": 96}, {"max_source_positions": 40}),
    ),
    "ElectraForPreTraining": (ELECTRA, ({}, {"embedding_size": 64}, {"num_hidden_layers": 3})),
    "ElectraForMaskedLM": (ELECTRA, ({},)),
    "RemBertForMaskedLM": (REMBERT, ({}, {"output_embedding_size": 64})),
    "XLNetLMHeadModel": (XLNET, ({}, {"n_layer": 3}, {"n_head": 2, "d_model": 96}, {"dropout": 0.1})),
    "JetMoeForCausalLM": (JETMOE, ({}, {"kv_channels": 16}, {"num_hidden_layers": 3})),
    "JetMoeForCausalLM top 3": (
        JETMOE, ({"num_key_value_heads": 1, "num_experts_per_tok": 3, "num_attention_heads": 3, "num_local_experts": 5},),
    ),
    "DebertaForMaskedLM": (
        DEBERTA,
        ({}, {"pos_att_type": ["c2p"]}, {"pos_att_type": ["p2c"]}, {"num_hidden_layers": 3}, {"max_position_embeddings": 12},
            DROPOUT),
    ),
    "DebertaV2ForMaskedLM": (
        DEBERTA2,
        (
            {}, {"share_att_key": False}, {"share_att_key": False, "pos_att_type": ["c2p"]}, {"conv_kernel_size": 3},
            {"conv_kernel_size": 3, "conv_groups": 2, "conv_act": "gelu"}, {"num_hidden_layers": 3}, {"norm_rel_ebd": "none"},
            DROPOUT,
            {**DROPOUT, "conv_kernel_size": 3},
        ),
    ),
}  # fmt: skip
"""Whole models, by class, and what is changed of them."""

KERNELS = {
    "RemBertForMaskedLM": ("eager",),
    "XLNetLMHeadModel": ("eager",),
    "DebertaForMaskedLM": ("eager",),
    "DebertaV2ForMaskedLM": ("eager", "flash"),
}
"""How attention is computed, where not both step by step and by torch's fused kernel."""


def inputs(name: str, config: dict[str, Any], batch: int, length: int, kind: torch.dtype) -> dict[str, torch.Tensor]:
    """What a model reads, and what it should say."""
    tokens = torch.randint(4, config["vocab_size"], (batch, length))
    match name.split(maxsplit=1)[0]:
        case "WhisperForConditionalGeneration":
            spectrogram = torch.randn(batch, config["num_mel_bins"], 2 * config["max_source_positions"], dtype=kind)
            return {"input_features": spectrogram, "decoder_input_ids": tokens, "labels": tokens.clone()}
        case "ElectraForPreTraining":
            return {"input_ids": tokens, "labels": torch.randint(0, 2, (batch, length))}
        case "XLNetLMHeadModel":
            segments = torch.randint(0, 2, (batch, length))
            return {"input_ids": tokens, "token_type_ids": segments, "labels": tokens.clone()}
    return {"input_ids": tokens, "labels": tokens.clone()}


def fuse(model: torch.nn.Module, settings: Any) -> None:
    """Puts flashdeberta's attention in place of transformers', with the same parameters."""
    from flashdeberta import FlashDisentangledSelfAttention
    from flashdeberta.ops import flash_attention

    def kernel(q: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros_like(q), torch.zeros(q.shape[:3], dtype=torch.float32)

    flash_attention.flash_attn_v2_fwd_dise = kernel
    for layer in model.deberta.encoder.layer:
        fused = FlashDisentangledSelfAttention(settings).to(next(model.parameters()).dtype)
        fused.load_state_dict(layer.attention.self.state_dict())
        layer.attention.self = fused


def record(name: str, config: dict[str, Any], attention: str, batch: int, length: int, dtype: str) -> None:
    """One line for one run of one model, loss included."""
    torch.manual_seed(0)
    settings = CONFIG_MAPPING[config["model_type"]].from_dict(config)
    settings._attn_implementation = "eager" if attention == "flash" else attention
    settings.use_cache = False
    model = getattr(transformers, config["architectures"][0])(settings).to(DTYPES[dtype]).train()
    if attention == "flash":
        fuse(model, settings)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    what = {"config": config, "attention": attention, "batch": batch, "length": length, "dtype": dtype}
    asked = inputs(name, config, batch, length, DTYPES[dtype])
    line(what, kept(lambda: model(**asked).loss, model))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    for name, (base, changes) in MODELS.items():
        for change in changes:
            config = {**base, **change, "architectures": [name.split(maxsplit=1)[0]]}
            dropout = any(value == 0.1 for value in change.values())
            for attention in ("eager",) if dropout else KERNELS.get(name, ("eager", "sdpa")):
                for batch, length, dtype in ((1, 16, "fp32"), (2, 20, "fp32"), (2, 20, "bf16")):
                    record(name, config, attention, batch, length, dtype)
