"""The files that `tscale new` writes, a spec or claims: small, complete, valid, and telling what every line means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tscale.errors import RequestError, shown
from tscale.models.writing import write_new
from tscale.models.yaml_file import is_text

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}", re.ASCII)

_TEMPLATE: Final = """\
# A model's spec. `tscale params {name}.yaml` counts it, `tscale schema` describes every key there is.
name: {quoted}
kind: decoder             # decoder, encoder or encoder-decoder
layers: 32
d_model: 4096             # width of the residual stream
vocabulary: 32000         # rows of the token embedding, padding included
context: 4096             # longest sequence of its training; leave out where there is no limit
tied: false               # is the head the token embedding, transposed?

attention:
  heads: 32
  kv_heads: 8             # fewer than heads: grouped-query attention; leave out for as many as heads
  # head_dim: 128         # leave out for d_model / heads
  # bias: [q, k, v]       # true for all four projections, or a list of them
  # window: 4096          # keys that a query of a local layer sees
  # pattern: [local, global]

feed_forward:
  d_ff: 11008
  gated: true             # a third matrix gates the inner activations (SwiGLU, GeGLU)
  # bias: true

positions: {{kind: rotary}} # learned, sinusoidal, rotary, alibi, relative-bias, relative or none
norm: {{kind: rmsnorm}}     # or layernorm; place: pre, post, sandwich or parallel

# training:               # in stages, where the length of the sequences changed
#   stages: [{{tokens: 2e12, context: 4096, source: where that was read}}]
# published:
#   params: {{value: 7e9, source: where that was read}}
# sources: [where the shape was read]
# notes: [what its reader must know]
"""


_CLAIMS: Final = """\
# Claims to audit: `tscale check {name}.yaml` sets each beside the right value, `tscale schema claims` describes every key
# and lists all that can be claimed, and `tscale show article` prints a longer file.
title: {quoted}
source: where the claims were made
claims:
  - subject: gpt3               # a built-in name, a YAML file, a config.json or its folder
    quantity: params            # by its key or by the name that tables print: parameters
    claimed: 175e9
    quote: GPT-3 has 175 billion parameters   # its words, which are printed next to the verdict
  - subject: gpt3
    relative_to: gpt2-xl        # the claim is how many times that model's it is
    quantity: layers
    claimed: 2
  - {{subject: gpt3, quantity: training_tokens, claimed: 300e9, tolerance: 0.01}}   # holds within one percent
"""


def template(name: str, *, claims: bool = False) -> str:
    """A commented spec for a model of that name, or a file of claims. Raises `RequestError` for one that could not be typed or stored."""
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"a name is 1 to 63 lower case letters, digits, dots and dashes, such as my-model-7b, not {shown(name)}"
        )
    text = _CLAIMS if claims else _TEMPLATE
    return text.format(name=name, quoted=name if is_text(name) else f'"{name}"')


def write_template(name: str, folder: Path, *, claims: bool = False) -> Path:
    """Writes `name`.yaml into a folder, whole or not at all, and never over a file. Raises `TscaleError`."""
    name = name.removesuffix(".yaml")
    path = folder / f"{name}.yaml"
    write_new(path, template(name, claims=claims))
    return path
