"""Rows of further encoders and encoder-decoders: those that read pages, tables, many languages or long texts.

What the columns say: see `tscale.importer.families`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from tscale.blocks import Computed, Norm
from tscale.importer import family_2026_encoders as own
from tscale.importer import family_encoders as shared
from tscale.importer import family_rules as rules
from tscale.importer.family import Family, Keys
from tscale.importer.family_rows import BARE, EVERY, MASKED, POOLED, SEGMENTS, TIED, causal, encoder
from tscale.models.spec import Head

_BERT: Final = (30522, 768, 12, 12, 3072, 512)
_EACH: Final = Head(kind="none", pooler=True, classes=2, per_token=True)
"""Every word is told apart, next to a pooler that nothing reads."""
_XLM: Final = Keys(d_model="emb_dim", layers="n_layers", heads="n_heads", d_ff=None)
_LED: Final = Keys(
    d_model="d_model",
    layers="decoder_layers",
    heads="decoder_attention_heads",
    d_ff="decoder_ffn_dim",
    context="max_decoder_position_embeddings",
)
_PEGASUS: Final = Keys(
    d_model="d_model", layers="decoder_layers", heads="decoder_attention_heads", d_ff="decoder_ffn_dim"
)
_TWO_STACKS: Final = {
    "hidden_size": "d_model",
    "num_attention_heads": "encoder_attention_heads",
    "num_hidden_layers": "encoder_layers",
}


def _xlm(prefix: str, **columns: Any) -> Family:
    """XLM and FlauBERT: a head of one matrix, tied, with a bias (Lample 2019)."""
    more = columns.pop("reads", {})
    return Family(
        classes={f"{prefix}WithLMHeadModel": Head(kind="masked", bias=True, transform="none"), f"{prefix}Model": BARE},
        kind="encoder",
        keys=_XLM,
        reads=_XLM.reads((30145, 2048, 12, 16, 512), n_langs=1, use_lang_emb=True, **more),
        fixed=TIED | {"asm": False, "is_encoder": True},
        harmless=(
            "gelu_activation", "sinusoidal_embeddings", "embed_init_std", "bos_index", "eos_index", "pad_index", "unk_index",
            "mask_index", "start_n_top", "end_n_top", "lang_id", "lang2id", "id2lang", "bos_token_id", "causal",
        ),
        aliases={"hidden_size": "emb_dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers",
                 "n_words": "vocab_size"},
        positions=rules.table,
        biases=EVERY,
        feed_forward=own.four_times,
        embedding=own.languages,
        **columns,
    )  # fmt: skip


# fmt: off
READERS: Final[dict[str, Family]] = {
    "layoutlm": encoder(
        "LayoutLM", Keys(), _BERT, SEGMENTS | {"max_2d_position_embeddings": 1024}, embedding=own.layout_segments,
        classes={"LayoutLMForMaskedLM": replace(MASKED, pooler=True), "LayoutLMModel": POOLED,
                 "LayoutLMForTokenClassification": _EACH, "LayoutLMForQuestionAnswering": _EACH}, head=own.layout_head,
    ),
    "tapas": encoder(
        "Tapas", Keys(), (30522, 768, 12, 12, 3072, 1024), {"type_vocab_sizes": [3, 256, 256, 2, 256, 256, 10]},
        embedding=own.table_segments, pooler=True,
        harmless=("positive_label_weight", "num_aggregation_labels", "aggregation_loss_weight", "use_answer_as_supervision",
                  "answer_loss_importance", "use_normalized_answer_loss", "huber_loss_delta", "aggregation_temperature",
                  "use_gumbel_for_cells", "use_gumbel_for_aggregation", "average_approximation_function",
                  "cell_selection_preference", "answer_loss_cutoff", "max_num_rows", "max_num_columns", "average_logits_per_cell",
                  "select_one_column", "allow_empty_column_selection", "init_cell_selection_weights_to_zero",
                  "reset_position_index_per_cell", "disable_per_token_loss", "aggregation_labels", "no_aggregation_label_index"),
    ),
    "flaubert": _xlm("Flaubert", norm=own.flaubert_norm, reads={"pre_norm": False}),
    "xlm": _xlm("XLM", norm=own.xlm_norm),
    "jina_embeddings_v3": encoder(
        "JinaEmbeddingsV3", Keys(), (250002, 1024, 24, 16, 4096, 8194), {"type_vocab_size": 1}, embedding=rules.segments,
        pooler=True, positions=Computed(kind="rotary"),
    ),
    "yoso": encoder(
        "Yoso", Keys(), (50265, 768, 12, 12, 3072, 4096), {"type_vocab_size": 1}, embedding=rules.segments,
        positions=rules.table_and_two, fixed=TIED | {"position_embedding_type": "absolute", "use_expectation": True},
        harmless=("hash_code_len", "num_hash", "use_fast_hash", "lsh_backward"), notes=own.yoso_notes,
    ),
}

LONG: Final[dict[str, Family]] = {
    "led": Family(
        classes=causal("LED", suffix="ForConditionalGeneration"), kind="encoder-decoder", keys=_LED,
        reads=_LED.reads(
            (50265, 1024, 12, 16, 4096, 1024), encoder_layers=12, encoder_attention_heads=16, encoder_ffn_dim=4096,
            max_encoder_position_embeddings=16384, attention_window=512,
        ),
        fixed=TIED | {"is_encoder_decoder": True, "add_bias_logits": False, "normalize_before": False, "normalize_embedding": True,
                      "add_final_layer_norm": False}, aliases=_TWO_STACKS,
        norm=Norm(kind="layernorm", place="post", embedding=True), biases=EVERY, d_ff_bias=True,
        positions=own.led_positions, encoder=own.led_encoder, notes=shared.longformer_notes,
    ),
    "bigbird_pegasus": Family(
        classes=causal("BigBirdPegasus", suffix="ForConditionalGeneration"), kind="encoder-decoder", keys=_PEGASUS,
        reads=_PEGASUS.reads(
            (96103, 1024, 16, 16, 4096, 4096), encoder_layers=16, encoder_attention_heads=16, encoder_ffn_dim=4096,
            use_bias=False, attention_type="block_sparse", block_size=64, num_random_blocks=3,
        ),
        fixed=TIED | {"is_encoder_decoder": True}, aliases=_TWO_STACKS | {"attention_probs_dropout_prob": "attention_dropout"},
        norm=Norm(kind="layernorm"), d_ff_bias=True,
        attention=own.big_bird_attention, positions=rules.table, encoder=own.big_bird_encoder, notes=shared.big_bird_notes,
    ),
}
# fmt: on
