"""Rows of encoders and encoder-decoders that share layers, score distances, read sounds, or vary BERT and BART.

What the columns say: see `tscale.importer.families`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tscale.blocks import Computed, Norm
from tscale.importer import family_encoders as own
from tscale.importer import family_rules as rules
from tscale.importer.family import Family, Keys
from tscale.importer.family_rows import (
    BARE,
    BIG,
    EVERY,
    LEARNED,
    MASKED,
    NEEDED,
    POOLED,
    PRETRAINING,
    SEGMENTS,
    T5_ALIASES,
    TIED,
)
from tscale.importer.family_rows import bart as _bart
from tscale.importer.family_rows import causal as _causal
from tscale.importer.family_rows import encoder as _encoder
from tscale.importer.family_rows import modern as _modern
from tscale.importer.family_rows import t5 as _t5
from tscale.models.spec import Head

_PRE: Final = Norm(kind="layernorm")
_POST: Final = Norm(kind="layernorm", place="post")
_EMBEDDED: Final = Norm(kind="layernorm", embedding=True)
_BERT: Final = (30522, 768, 12, 12, 3072, 512)
_DEBERTA: Final[dict[str, object]] = {
    "type_vocab_size": 0,
    "relative_attention": False,
    "max_relative_positions": -1,
    "position_biased_input": True,
    "pos_att_type": None,
    "embedding_size": None,
}
_XLNET: Final = Keys(d_model="d_model", layers="n_layer", heads="n_head", d_ff="d_inner", context=None)
_FSMT: Final = Keys(
    vocabulary="tgt_vocab_size",
    d_model="d_model",
    layers="decoder_layers",
    heads="decoder_attention_heads",
    d_ff="decoder_ffn_dim",
)
_WHISPER: Final = Keys(
    d_model="d_model",
    layers="decoder_layers",
    heads="decoder_attention_heads",
    d_ff="decoder_ffn_dim",
    context="max_target_positions",
)
_BART_ALIASES: Final = {
    "hidden_size": "d_model",
    "num_attention_heads": "encoder_attention_heads",
    "num_hidden_layers": "encoder_layers",
}


def _siglip(cls: str) -> Family:
    """A text encoder that sees both ways, and a layer of its own width on its last token (Zhai 2023)."""
    return Family(
        classes={cls: Head(kind="none", pooler=True)},
        kind="encoder",
        keys=Keys(),
        reads=Keys().reads((32000, 768, 12, 12, 3072, 64), projection_size=None),
        head=own.siglip_head,
        norm=Norm(kind="layernorm"),
        positions=rules.table,
        biases=EVERY,
        d_ff_bias=True,
    )


# fmt: off
FURTHER: Final[dict[str, Family]] = {
    "albert": _encoder(
        "Albert", Keys(), (30000, 4096, 12, 64, 16384, 512),
        SEGMENTS | {"embedding_size": 128, "num_hidden_groups": 1, "inner_group_num": 1},
        classes={"AlbertForMaskedLM": MASKED, "AlbertForPreTraining": PRETRAINING, "AlbertModel": POOLED},
        fixed=TIED | {"position_embedding_type": "absolute", "down_scale_factor": 1, "net_structure_type": 0,
                      "gap_size": 0, "num_memory_blocks": 0},
        embedding=own.albert_embedding, layers=own.albert_layers, unique_layers=own.albert_unique_layers,
    ),
    "deberta": _encoder(
        "Deberta", Keys(), (50265, 768, 12, 12, 3072, 512), _DEBERTA,
        fixed=TIED | {"legacy": True, "talking_head": False}, null=("max_relative_positions",),
        biases={"qvo": True}, embedding=own.deberta_embedding, positions=own.deberta_positions,
    ),
    "deberta-v2": _encoder(
        "DebertaV2", Keys(), (128100, 1536, 24, 24, 6144, 512),
        _DEBERTA | {"position_buckets": -1, "share_att_key": False, "norm_rel_ebd": "none", "conv_kernel_size": 0,
                    "conv_groups": 1, "attention_head_size": None},
        fixed=TIED | {"legacy": True}, harmless=("conv_act",), null=("max_relative_positions",), aliases={"head_dim": "attention_head_size"},
        head_dim=own.deberta_head_dim, embedding=own.deberta_embedding, positions=own.deberta_v2_positions,
    ),
    "xlnet": _encoder(
        "XLNet", _XLNET, (32000, 1024, 24, 16, 4096), {"d_head": None},
        classes={"XLNetLMHeadModel": Head(kind="masked", bias=True, transform="none"), "XLNetModel": BARE},
        fixed=TIED | {"attn_type": "bi", "bi_data": False},
        harmless=("ff_activation", "mem_len", "reuse_len", "use_mems_eval", "use_mems_train", "clamp_len",
                  "same_length", "start_n_top", "end_n_top", "untie_r"),
        aliases={"hidden_size": "d_model", "num_attention_heads": "n_head", "num_hidden_layers": "n_layer",
                 "n_token": "vocab_size"},
        norm=_POST, biases={}, head_dim=own.xlnet_head_dim, embedding=own.XLNET_EMBEDDING, positions=own.XLNET_POSITIONS,
    ),
    "modernbert": _encoder(
        "ModernBert", Keys(), (50368, 768, 22, 12, 1152, 8192),
        {"norm_bias": False, "attention_bias": False, "mlp_bias": False, "decoder_bias": True, "classifier_bias": False,
         "local_attention": 128, "layer_types": None, "global_attn_every_n_layers": 3, "tie_word_embeddings": True},
        classes={"ModernBertForMaskedLM": Head(kind="masked", transform="plain"), "ModernBertModel": BARE},
        head=own.modernbert_head, head_bias="decoder_bias", fixed={"position_embedding_type": "absolute"},
        harmless=("classifier_pooling", "classifier_activation", "deterministic_flash_attn", "sparse_prediction",
                  "sparse_pred_ignore_index", "global_rope_theta", "local_rope_theta", "reference_compile",
                  "repad_logits_with_grad"),
        norm=own.modernbert_norm, biases={"qkvo": "attention_bias"}, d_ff_bias="mlp_bias", gated=True,
        positions=Computed(kind="rotary"), sight=own.modernbert_sight,
    ),
    "camembert": _encoder(
        "Camembert", Keys(), _BERT, SEGMENTS, embedding=rules.segments, pooler=True, unread_rows=2,
    ),
    "data2vec-text": _encoder(
        "Data2VecText", Keys(), _BERT, SEGMENTS, embedding=rules.segments, pooler=True, unread_rows=2,
    ),
    "ibert": _encoder(
        "IBert", Keys(), _BERT, SEGMENTS, embedding=rules.segments, pooler=True, unread_rows=2,
        fixed=TIED | {"position_embedding_type": "absolute", "quant_mode": False, "force_dequant": "none"},
    ),
    "xlm-roberta-xl": _encoder(
        "XLMRobertaXL", Keys(), (250880, 2560, 36, 32, 10240, 514), {"type_vocab_size": 1}, embedding=rules.segments,
        pooler=True, unread_rows=2, norm=_PRE,
    ),
    "roberta-prelayernorm": _encoder(
        "RobertaPreLayerNorm", Keys(), (50265, 768, 12, 12, 3072, 512), SEGMENTS, embedding=rules.segments, pooler=True,
        unread_rows=2, norm=_EMBEDDED,
    ),
    "megatron-bert": _encoder(
        "MegatronBert", Keys(), (29056, 1024, 24, 16, 4096, 512), SEGMENTS, embedding=rules.segments, norm=_PRE,
        classes={"MegatronBertForMaskedLM": MASKED, "MegatronBertForPreTraining": PRETRAINING,
                 "MegatronBertModel": POOLED},
    ),
    "rembert": _encoder(
        "RemBert", Keys(), (250300, 1152, 32, 18, 4608, 512),
        SEGMENTS | {"input_embedding_size": 256, "output_embedding_size": 1664, "tie_word_embeddings": False},
        classes={"RemBertForMaskedLM": MASKED, "RemBertModel": POOLED},
        fixed={"position_embedding_type": "absolute", "tie_word_embeddings": False},
        embedding=own.rembert_embedding, head=own.rembert_head,
    ),
    "ernie": _encoder(
        "Ernie", Keys(), _BERT, SEGMENTS | {"task_type_vocab_size": 3, "use_task_id": False},
        classes={"ErnieForMaskedLM": MASKED, "ErnieForPreTraining": PRETRAINING, "ErnieModel": POOLED},
        embedding=own.ernie_embedding,
    ),
    "esm": _encoder(
        "Esm", Keys(), (NEEDED, 768, 12, 12, 3072, 1026),
        {"position_embedding_type": "absolute", "emb_layer_norm_before": False}, null=("emb_layer_norm_before",),
        fixed=TIED | {"is_folding_model": False}, harmless=("vocab_list", "esmfold_config"), unread_rows=2,
        norm=own.esm_norm, positions=own.esm_positions,
        classes={"EsmForMaskedLM": replace(MASKED, contacts=True), "EsmModel": replace(POOLED, contacts=True)},
    ),
    "mpnet": _encoder(
        "MPNet", Keys(), (30527, 768, 12, 12, 3072, 512), {"relative_attention_num_buckets": 32}, pooler=True,
        unread_rows=2, positions=own.mpnet_positions,
    ),
    "roformer": _encoder(
        "RoFormer", Keys(), (50000, 768, 12, 12, 3072, 1536), SEGMENTS | {"embedding_size": None},
        fixed=TIED | {"rotary_value": False}, embedding=own.roformer_embedding, positions=own.roformer_positions,
    ),
    "eurobert": _modern(
        "EuroBert", (128256, 768, 12, 12, 3072, 8192),
        {"num_key_value_heads": None, "head_dim": None, "attention_bias": False, "mlp_bias": False}, kind="encoder",
        classes={"EuroBertForMaskedLM": Head(kind="masked", transform="none"), "EuroBertModel": BARE},
        head_bias="mlp_bias", harmless=("classifier_pooling",),
    ),
    "nomic_bert": _encoder(
        "NomicBert", Keys(), (30528, 768, 12, 12, 3072, 2048), SEGMENTS | {"head_dim": None}, embedding=rules.segments,
        fixed=TIED, biases={}, d_ff_bias=False, gated=True, positions=Computed(kind="rotary"),
    ),
    "gte": _encoder(
        "Gte", Keys(), (250048, 768, 12, 12, 3072, 8192), {"type_vocab_size": 1}, embedding=own.gte_segments,
        fixed=TIED, d_ff_bias=False, d_ff_out_bias=True, gated=True, positions=Computed(kind="rotary"),
    ),
    "big_bird": _encoder(
        "BigBird", Keys(), (50358, 768, 12, 12, 3072, 4096),
        SEGMENTS | {"use_bias": True, "attention_type": "block_sparse", "block_size": 64, "num_random_blocks": 3,
                    "rescale_embeddings": None}, embedding=rules.segments,
        classes={"BigBirdForMaskedLM": replace(MASKED, pooler=True), "BigBirdForPreTraining": PRETRAINING, "BigBirdModel": POOLED},
        biases={"qkv": "use_bias", "o": True}, notes=own.big_bird_notes,
    ),
    "longformer": _encoder(
        "Longformer", Keys(), _BERT, SEGMENTS | {"attention_window": 512}, embedding=rules.segments, pooler=True,
        unread_rows=2, global_projections=True, sight=own.longformer_sight, harmless=("onnx_export", "ignore_attention_mask"),
        notes=own.longformer_notes,
    ),
    # reads from left to right, as decoders do, and decodes nothing
    "clip_text_model": Family(
        classes={"CLIPTextModel": BARE}, keys=Keys(),
        reads=Keys().reads((49408, 512, 12, 8, 2048, 77)), harmless=("projection_dim",), norm=Norm(kind="layernorm"),
        positions=rules.table, biases=EVERY, d_ff_bias=True, notes=own.clip_notes,
    ),
    "siglip_text_model": _siglip("SiglipTextModel"),
    "siglip2_text_model": _siglip("Siglip2TextModel"),
}

_SWITCHED: Final = (
    "expert_capacity", "router_dtype", "router_ignore_padding_tokens", "router_z_loss_coef", "add_router_probs",
    "encoder_sparse_step", "decoder_sparse_step", "router_type", "batch_prioritized_routing",
)  # fmt: skip

TO_TEXT: Final[dict[str, Family]] = {
    "switch_transformers": _t5(
        "SwitchTransformers", (32128, 768, 12, 12, 2048), None, experts=own.switch_experts,
        fixed=TIED | {"is_encoder_decoder": True, "num_selected_experts": 1}, harmless=_SWITCHED, aliases=T5_ALIASES,
        reads={"num_decoder_layers": 12, "num_experts": 8, "num_sparse_encoder_layers": 3, "num_sparse_decoder_layers": 3,
               "encoder_sparse_step": None, "decoder_sparse_step": None, "router_bias": False},
    ),
    "whisper": Family(
        harmless=("classifier_proj_size", "apply_spec_augment", "median_filter_width", "use_weighted_layer_sum",
                  "mask_time_prob", "mask_time_length", "mask_time_min_masks", "mask_feature_prob",
                  "mask_feature_length", "mask_feature_min_masks"),
        classes=_causal("Whisper", suffix="ForConditionalGeneration"), kind="encoder-decoder", keys=_WHISPER,
        reads=_WHISPER.reads(
            (51865, 384, 4, 6, 1536, 448), encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536,
            num_mel_bins=80, max_source_positions=1500,
        ),
        fixed=TIED | {"is_encoder_decoder": True}, aliases=_BART_ALIASES, norm=_PRE, biases={"qvo": True},
        d_ff_bias=True, positions=own.whisper_positions, encoder=own.whisper_encoder,
    ),
    "fsmt": Family(
        classes={"FSMTForConditionalGeneration": Head(), "FSMTModel": Head()}, harmless=("langs",), kind="encoder-decoder", keys=_FSMT,
        reads=_FSMT.reads(
            (42024, 1024, 12, 16, 4096, 1024), src_vocab_size=42024, encoder_layers=12, encoder_attention_heads=16,
            encoder_ffn_dim=4096, tie_word_embeddings=False,
        ),
        fixed={"is_encoder_decoder": True}, aliases=_BART_ALIASES, norm=_POST, biases=EVERY, d_ff_bias=True,
        positions=own.fsmt_positions, embedding=own.fsmt_embedding, encoder=rules.bart_encoder,
    ),
    "mvp": _bart(
        "Mvp", (50267, 1024, 12, 16, 4096, 1024), BIG, Norm(kind="layernorm", place="post", embedding=True),
        positions=rules.table_and_two, fixed=LEARNED | {"use_prompt": False},
        harmless=("prompt_length", "prompt_mid_dim"),
    ),
    "plbart": _bart(
        "PLBart", (50005, 768, 6, 12, 3072, 1024), (6, 12, 3072), Norm(kind="layernorm", place="post", embedding=True),
        positions=rules.table_and_two, fixed=LEARNED,
    ),
    "nllb-moe": _bart(
        "NllbMoe", (128112, 1024, 12, 16, 4096, 1024), BIG, _PRE, positions=Computed(kind="sinusoidal"), experts=own.nllb_experts,
        reads={"num_experts": 128, "encoder_sparse_step": 4, "decoder_sparse_step": 4, "router_bias": False},
        harmless=("expert_capacity", "router_dtype", "router_ignore_padding_tokens", "router_z_loss_coef", "second_expert_policy",
                  "normalize_router_prob_before_dropping", "batch_prioritized_routing", "moe_eval_capacity_token_fraction",
                  "moe_token_dropout", "router_type"),
    ),
    "blenderbot-small": _bart(
        "BlenderbotSmall", (50265, 512, 8, 16, 2048, 512), (8, 16, 2048),
        Norm(kind="layernorm", place="post", embedding=True), positions=rules.table,
        fixed=LEARNED | {"extra_pos_embeddings": 0, "layernorm_variant": "xlm"},
    ),
}
# fmt: on
