"""Further encoders, and encoder-decoders that are no kin of T5 or BART."""

from __future__ import annotations

from typing import Any, Final

from tscale.blocks import Norm, Relative
from tscale.spec import family_encoders as own
from tscale.spec import family_rules as rules
from tscale.spec.family import Family, Keys
from tscale.spec.family_rows import BARE, EVERY, NEEDED, TIED
from tscale.spec.model import Embedding, Head

_MASKED: Final = Head(kind="masked", bias=True)
_POOLED: Final = Head(kind="none", pooler=True)
_PRETRAINING: Final = Head(kind="masked", bias=True, pooler=True, classes=2)
_POST: Final = Norm(kind="layernorm", place="post", embedding=True)
_SEGMENTS: Final[dict[str, object]] = {"type_vocab_size": 2}
_ABSOLUTE: Final[dict[str, object]] = {"position_embedding_type": "absolute"}
_XLNET: Final = Keys(d_model="d_model", layers="n_layer", heads="n_head", d_ff="d_inner", context=None)
_WHISPER: Final = Keys(
    d_model="d_model",
    layers="decoder_layers",
    heads="decoder_attention_heads",
    d_ff="decoder_ffn_dim",
    context="max_target_positions",
)
_FSMT: Final = Keys(
    vocabulary="tgt_vocab_size",
    d_model="d_model",
    layers="decoder_layers",
    heads="decoder_attention_heads",
    d_ff="decoder_ffn_dim",
)
_DEBERTA: Final[dict[str, object]] = {
    "type_vocab_size": 0,
    "relative_attention": False,
    "max_relative_positions": -1,
    "position_biased_input": True,
    "pos_att_type": None,
}


def _bert(prefix: str, sizes: tuple[int, ...], reads: dict[str, object], **columns: Any) -> Family:
    """A row of BERT's kin: post-norm, with biases, a table of positions and one of segments."""
    usual: dict[str, Any] = {
        "classes": {prefix + "ForMaskedLM": _MASKED, prefix + "Model": _POOLED},
        "fixed": TIED | _ABSOLUTE,
        "norm": _POST,
        "positions": rules.table,
        "embedding": rules.segments,
        "biases": EVERY,
        "d_ff_bias": True,
    }
    return Family(**(usual | columns), kind="encoder", reads=Keys().reads(sizes, **(_SEGMENTS | reads)))


# fmt: off
MORE_ENCODERS: Final[dict[str, Family]] = {
    "albert": _bert(
        "Albert", (30000, 4096, 12, 64, 16384, 512),
        {"embedding_size": 128, "num_hidden_groups": 1, "inner_group_num": 1},
        classes={"AlbertForMaskedLM": _MASKED, "AlbertForPreTraining": _PRETRAINING, "AlbertModel": _POOLED},
        embedding=rules.electra_embedding, layers=own.albert_layers, unique_layers=own.albert_unique_layers,
    ),
    "camembert": _bert("Camembert", (30522, 768, 12, 12, 3072, 512), {}, unread_rows=2),
    "data2vec-text": _bert(
        "Data2VecText", (30522, 768, 12, 12, 3072, 512), {}, unread_rows=2,
    ),
    "roberta-prelayernorm": _bert(
        "RobertaPreLayerNorm", (50265, 768, 12, 12, 3072, 512), {}, unread_rows=2, norm=own.prelayernorm(),
    ),
    "deberta": _bert(
        "Deberta", (50265, 768, 12, 12, 3072, 512), _DEBERTA,
        classes={"DebertaForMaskedLM": _MASKED, "DebertaModel": BARE}, fixed=TIED | {"talking_head": False, "legacy": True},
        biases={"qvo": True}, positions=own.deberta_positions, embedding=own.deberta_embedding,
    ),
    "deberta-v2": _bert(
        "DebertaV2", (128100, 1536, 24, 24, 6144, 512),
        _DEBERTA | {"position_buckets": -1, "share_att_key": False, "norm_rel_ebd": "none", "conv_kernel_size": 0},
        classes={"DebertaV2ForMaskedLM": _MASKED, "DebertaV2Model": BARE},
        fixed=TIED | {"conv_groups": 1, "legacy": True}, positions=own.deberta_v2_positions,
        embedding=own.deberta_embedding,
    ),
    "xlnet": Family(
        classes={"XLNetLMHeadModel": Head(bias=True), "XLNetModel": BARE}, kind="encoder", keys=_XLNET,
        reads=_XLNET.reads((32000, 1024, 24, 16, 4096), d_head=None), fixed=TIED | {"attn_type": "bi", "bi_data": False},
        aliases={"n_token": "vocab_size", "hidden_size": "d_model", "num_attention_heads": "n_head",
                 "num_hidden_layers": "n_layer"},
        norm=Norm(kind="layernorm", place="post"), positions=Relative(both_ways=True, segments=True),
        embedding=Embedding(mask=True), head_dim=own.xlnet_head_dim, d_ff_bias=True,
    ),
    "whisper": Family(
        classes={"WhisperForConditionalGeneration": Head(), "WhisperModel": BARE}, kind="encoder-decoder", keys=_WHISPER,
        reads=_WHISPER.reads(
            (51865, 384, 4, 6, 1536, 448), encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536,
            num_mel_bins=80, max_source_positions=1500,
        ),
        fixed=TIED | {"is_encoder_decoder": True},
        aliases={"hidden_size": "d_model", "num_attention_heads": "encoder_attention_heads",
                 "num_hidden_layers": "encoder_layers"},
        norm=Norm(kind="layernorm"), positions=own.whisper_positions, attention=own.whisper_attention, d_ff_bias=True,
        encoder=own.whisper_encoder, notes=own.whisper_notes,
    ),
    "fsmt": Family(
        classes={"FSMTForConditionalGeneration": Head(), "FSMTModel": BARE}, kind="encoder-decoder", keys=_FSMT,
        reads=_FSMT.reads(
            (42024, 1024, 12, 16, 4096, 1024), encoder_layers=12, encoder_attention_heads=16, encoder_ffn_dim=4096,
            src_vocab_size=42024, tie_word_embeddings=NEEDED,
        ),
        fixed={"is_encoder_decoder": True},
        aliases={"hidden_size": "d_model", "num_attention_heads": "encoder_attention_heads",
                 "num_hidden_layers": "encoder_layers", "vocab_size": "tgt_vocab_size"},
        norm=Norm(kind="layernorm", place="post"), positions=rules.table_and_two, embedding=own.fsmt_embedding,
        biases=EVERY, d_ff_bias=True, encoder=rules.bart_encoder,
    ),
}
# fmt: on
