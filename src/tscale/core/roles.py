"""What an entry is for: a closed set of roles. Questions ask for a role, never for a name, which is for printing only."""

from __future__ import annotations

from typing import Final, Literal

Role = Literal[
    # tables, and what is added to or stands beside them
    "embedding",
    "layer_embedding",
    "segments",
    "mask",
    "positions",
    "projection",
    # attention
    "q",
    "k",
    "v",
    "o",
    "q_down",
    "q_up",
    "kv_down",
    "kv_up",
    "gates",
    "sinks",
    "lambda",
    "position_key",
    "position_scores",
    "index_q",
    "index_k",
    "index_weights",
    "scores",
    "index_scores",
    # feed-forwards and experts
    "router",
    "selection_bias",
    "routes",
    "up",
    "gate",
    "down",
    "latent_down",
    "latent_up",
    "shared_up",
    "shared_gate",
    "shared_down",
    "shared_switch",
    "adapter",
    # low-rank adapters on a frozen model
    "lora_a",
    "lora_b",
    # recurrences and convolutions
    "in",
    "out",
    "conv",
    "decay",
    "step",
    "shift",
    # what is applied elementwise
    "norm",
    "final_norm",
    "scale",
    "bias",
    # several residual streams
    "streams",
    "stream_mix",
    # on the last layer
    "head",
    "transform",
    "pooler",
    "classes",
    "contacts",
    "logits",
    # what is kept while decoding
    "kv",
    "latent",
    "index",
    "conv_state",
    "state",
]
"""`embedding`: the table of tokens, `layer_embedding` one that all layers have a part of; `step`: a state space's step and what it is made of; `projection`: a bridge between two widths; `position_key` and
`position_scores`: what distances are projected to, and what is scored against their table; `streams`: what weighs residual streams,
`stream_mix`: their product with these numbers, which owns no weights; `routes`: a fixed table of each token's experts; `kv`, `latent` and `index`: caches
that grow with the sequence, `conv_state` and `state`: those that do not."""

ADAPTERS: Final[frozenset[Role]] = frozenset({"lora_a", "lora_b"})
"""The two matrices of a low-rank adapter."""
