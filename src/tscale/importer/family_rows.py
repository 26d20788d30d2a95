"""What the rows of the tables of model families are made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tscale.blocks import Norm
from tscale.importer import family_rules as rules
from tscale.importer.family import Family, Keys
from tscale.models.spec import Head

NEEDED: Final = object()
"""In place of a default: the class has none that makes sense."""

BARE: Final = Head(kind="none")
RMS: Final = Norm(kind="rmsnorm")
LAYER: Final = Norm(kind="layernorm")
EVERY: Final = {"qkvo": True}
BY_KEY: Final = {"qkvo": "attention_bias"}
TIED: Final = {"tie_word_embeddings": True}


def causal(
    prefix: str, *, bias: bool = False, suffix: str = "ForCausalLM", model: str | None = None
) -> dict[str, Head]:
    """A class with a language-model head, and the bare model."""
    return {prefix + suffix: Head(bias=bias), model or prefix + "Model": BARE}


def modern(prefix: str, sizes: tuple[int, ...], reads: Mapping[str, object], **columns: Any) -> Family:
    """RMSNorm, a gate and no biases but those that the keys `attention_bias` and `mlp_bias` ask for, if not said."""
    usual: dict[str, Any] = {
        "classes": causal(prefix),
        "norm": RMS,
        "gated": True,
        "biases": BY_KEY if "attention_bias" in reads else {},
        "d_ff_bias": "mlp_bias" if "mlp_bias" in reads else False,
    }
    silent: dict[str, object] = {"num_key_value_heads": None, "head_dim": None, "tie_word_embeddings": False}
    keys = columns.get("keys", Keys())
    return Family(**(usual | columns), reads=keys.reads(sizes, **(silent | dict(reads))))


NO_BIASES: Final[dict[str, object]] = {"attention_bias": False, "mlp_bias": False}
SANDWICH: Final = Norm(kind="rmsnorm", place="sandwich")


# ---- encoders: post-norm, with biases and a norm behind the embedding ----

MASKED: Final = Head(kind="masked", bias=True)
POOLED: Final = Head(kind="none", pooler=True)
DISCRIMINATOR: Final = Head(kind="discriminator")
PRETRAINING: Final = Head(kind="masked", bias=True, pooler=True, classes=2)


def encoder(prefix: str, keys: Keys, sizes: tuple[object, ...], reads: dict[str, object], **columns: Any) -> Family:
    """A row like BERT's, with a pooler on the bare model where it is said."""
    pooler = columns.pop("pooler", False)
    usual: dict[str, Any] = {
        "classes": {prefix + "ForMaskedLM": MASKED, prefix + "Model": POOLED if pooler else BARE},
        "fixed": TIED | {"position_embedding_type": "absolute"},
        "positions": rules.table,
        "norm": Norm(kind="layernorm", place="post", embedding=True),
        "biases": EVERY,
        "d_ff_bias": True,
    }
    return Family(
        **(usual | columns),
        kind="encoder",
        keys=keys,
        reads=keys.reads(sizes, **reads),
    )


SEGMENTS: Final[dict[str, object]] = {"type_vocab_size": 2}


# ---- encoder-decoders like BART ----

BART: Final = Keys(d_model="d_model", layers="decoder_layers", heads="decoder_attention_heads", d_ff="decoder_ffn_dim")
BIG: Final = (12, 16, 4096)
LEARNED: Final[dict[str, object]] = {"static_position_embeddings": False}


def bart(prefix: str, sizes: tuple[int, ...], source: tuple[int, int, int], norm: Norm, **columns: Any) -> Family:
    """A row of BART's kin: `source` is the depth, heads and d_ff of the encoder, `sizes` are the decoder's."""
    layers, heads, d_ff = source
    own, more = columns.pop("fixed", {}), columns.pop("reads", {})
    defaults: dict[str, Any] = {
        "classes": causal(prefix, suffix="ForConditionalGeneration"),
        "encoder": rules.bart_encoder,
    }
    return Family(
        **(defaults | columns),
        kind="encoder-decoder",
        keys=BART,
        reads=BART.reads(sizes, encoder_layers=layers, encoder_attention_heads=heads, encoder_ffn_dim=d_ff, **more),
        fixed=TIED
        | {
            "is_encoder_decoder": True,
            "add_bias_logits": False,
            "normalize_before": norm.place == "pre",
            "normalize_embedding": norm.embedding,
            "add_final_layer_norm": norm.place == "pre",
        }
        | own,
        aliases={
            "hidden_size": "d_model",
            "num_attention_heads": "encoder_attention_heads",
            "num_hidden_layers": "encoder_layers",
        },
        norm=norm,
        biases=EVERY,
        d_ff_bias=True,
    )


# ---- T5's kin ----

_T5: Final = Keys(d_model="d_model", layers="num_layers", heads="num_heads", d_ff="d_ff", context=None)


T5_ALIASES: Final = {"hidden_size": "d_model", "num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}


def t5(prefix: str, sizes: tuple[int, ...], activation: str | None, **columns: Any) -> Family:
    """A row of T5's kin; without an activation, feed-forwards have no gate, whatever the file says."""
    named = {} if activation is None else {"feed_forward_proj": activation, "is_gated_act": None}
    more = columns.pop("reads", {"tie_word_embeddings": True})
    usual: dict[str, Any] = {
        "positions": rules.relative_bias,
        "fixed": {"is_encoder_decoder": True},
        "gated": False if activation is None else rules.t5_gated,
        "aliases": T5_ALIASES | {"head_dim": "d_kv"},
    }
    return Family(
        **(usual | columns),
        classes=causal(prefix, suffix="ForConditionalGeneration") | {f"{prefix}EncoderModel": BARE},
        kind="encoder-decoder",
        keys=_T5,
        reads=_T5.reads(
            sizes, **({"num_decoder_layers": None, "d_kv": 64, "relative_attention_num_buckets": 32} | named | more)
        ),
        norm=RMS,
        layers=rules.t5_decoder_layers,
        head_dim=rules.t5_head_dim,
        encoder=rules.t5_encoder,
    )
