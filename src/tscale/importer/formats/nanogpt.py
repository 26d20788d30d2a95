"""The sizes that nanoGPT keeps in a checkpoint (model_args), as a file.

Source: https://github.com/karpathy/nanoGPT, model.py.
"""

from __future__ import annotations

from typing import Final

from tscale.blocks import Learned, Norm
from tscale.importer.config_keys import Config
from tscale.importer.family import Family, Keys
from tscale.importer.formats.format import Format
from tscale.models.spec import Head

_KEYS: Final = Keys(d_model="n_embd", layers="n_layer", heads="n_head", d_ff=None, context="block_size")


def _norm(config: Config) -> Norm:
    """Norms have biases where matrices do."""
    return Norm(kind="layernorm", bias=config.flag("bias"))


NANOGPT: Final = Format(
    title="nanoGPT's model_args",
    told_by=frozenset({"n_layer", "n_head", "n_embd", "block_size", "vocab_size"}),
    row=Family(
        name="GPT", classes={"GPT": Head()}, keys=_KEYS, reads=_KEYS.reads((50304, 768, 12, 12, 1024), bias=True), norm=_norm,
        positions=Learned(), biases={"qkvo": "bias"}, d_ff_bias="bias", fixed={"tie_word_embeddings": True},
    ),
)  # fmt: skip
