"""What the rows of the tables of model families are made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tscale.blocks import Norm
from tscale.spec.family import Family, Keys
from tscale.spec.model import Head

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
