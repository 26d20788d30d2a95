"""What checkpoints call the matrices of a layer, so that a pattern over modules can be read as one over our entries.

Files name a module by its path, `model.layers.3.self_attn.q_proj`; a family has its own words for each step of it. Here
each entry has all the paths inside of a layer that are in use for it; some are of tensors that hold several matrices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

_ATTENTIONS: Final = ("self_attn", "attn", "attention", "self_attention", "mixer", "temporal_block", "feature_attn")
_QKV: Final = ("qkv_proj", "query_key_value", "c_attn", "Wqkv", "W_pack", "wqkv", "qkv")
# never `gate` alone, as some files call what routes to experts
_UP_AND_GATE: Final = ("gate_up_proj", "w13", "w12", "input_linear")
_UP: Final = ("up_proj", "fc1", "fc_in", "c_fc", "dense_h_to_4h", "w3", "wi_1", *_UP_AND_GATE)
_GATE: Final = ("gate_proj", "w1", "wi_0", *_UP_AND_GATE)
_DOWN: Final = ("down_proj", "fc2", "fc_out", "c_proj", "dense_4h_to_h", "w2", "output_linear", "wo")
_LINEARS: Final = ("linear_attn", "self_attn", "mixer", "attention")
_STATES: Final = ("mixer", "mamba", "ssm", "linear_attn")
_EXPERTS: Final = ("mlp", "block_sparse_moe", "feed_forward", "ffn", "moe", "mixer", "")
_GATES_OF_EXPERTS: Final = ("router", "gate", "gate.wg", "router.layer", "router.proj", "router.classifier")

_NAMES: Final[Mapping[str, tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]]] = {
    "attention": (
        _ATTENTIONS,
        {
            "q": ("q_proj", "wq", "query", "q_b_proj", *_QKV),
            "k": ("k_proj", "wk", "key", *_QKV),
            "v": ("v_proj", "wv", "value", *_QKV),
            "o": ("o_proj", "out_proj", "dense", "c_proj", "wo"),
            "gates": ("g_proj",),
            "q_down": ("q_a_proj", "fused_qkv_a_proj_with_mqa", "wq_a"),
            "q_up": ("q_b_proj", "wq_b"),
            "kv_down": ("kv_a_proj_with_mqa", "fused_qkv_a_proj_with_mqa", "wkv_a"),
            "kv_up": ("kv_b_proj", "wkv_b"),
        },
    ),
    "index": (
        tuple(f"{name}.indexer" for name in _ATTENTIONS),
        {"q": ("wq_b",), "k": ("wk",), "weights": ("weights_proj",)},
    ),
    "feed_forward": (
        ("mlp", "feed_forward", "ffn", "mixer", "block_sparse_moe", "shared_mlp", "mlp.shared_mlp", ""),
        {"up": _UP, "gate": _GATE, "down": _DOWN},
    ),
    "experts": (
        tuple(f"{name}.experts".lstrip(".") for name in _EXPERTS),
        {"up": _UP, "gate": _GATE, "down": _DOWN},
    ),
    "router": (_EXPERTS, {"router": _GATES_OF_EXPERTS}),
    "shared": (
        (*(f"{outer}.{inner}".lstrip(".") for outer in _EXPERTS for inner in ("shared_experts", "shared_expert")),
         "shared_mlp", "mlp.shared_mlp"),
        {"up": _UP, "gate": _GATE, "down": _DOWN},
    ),
    "switch": (_EXPERTS, {"switch": ("shared_expert_gate", "shared_experts_gate")}),
    "latent": (_EXPERTS, {"down": ("fc1_latent_proj",), "up": ("fc2_latent_proj",)}),
    "delta_net": (
        _LINEARS,
        {
            "qkvz": ("in_proj_qkvz", "in_proj_qkv", "in_proj_z"),
            "ba": ("in_proj_ba", "in_proj_b", "in_proj_a"),
            "out": ("out_proj", "o_proj"),
            "q": ("q_proj",), "k": ("k_proj",), "v": ("v_proj",), "beta": ("b_proj",),
            "decay_down": ("f_a_proj",), "decay_up": ("f_b_proj",), "gate_down": ("g_a_proj",), "gate_up": ("g_b_proj",),
            "gate": ("g_proj",),
        },
    ),
    "lightning": (
        _LINEARS,
        {"q": _QKV, "k": _QKV, "v": _QKV, "gate": ("output_gate",), "out": ("out_proj",)},
    ),
    "mamba": (
        _STATES,
        {"in": ("in_proj",), "x": ("x_proj",), "dt": ("dt_proj",), "out": ("out_proj",)},
    ),
    "short_conv": (("conv", "short_conv"), {"in": ("in_proj",), "out": ("out_proj",)}),
    "rg_lru": (
        ("temporal_block",),
        {"x": ("linear_x",), "y": ("linear_y",), "out": ("linear_out",), "gates": ("rg_lru",)},
    ),
}  # fmt: skip
_BESIDE: Final = {"experts": ("experts",), "router": ("",), "shared": ("mlp",)}
_OWN: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {"gemma4": _BESIDE, "gemma4_text": _BESIDE}
"""Families whose files have blocks in places that others have for something else: a dense `mlp` beside the experts."""
_GROUPS: Final = {"self_attention": "attention", "cross_attention": "attention", "mamba2": "mamba"}
HEADS: Final = ("lm_head", "head", "output", "embed_out", "output_layer")
EMBEDDINGS: Final = ("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in", "embedding", "embeddings")
_NUMBERED: Final = re.compile(r"_\d+$")
_FIRST: Final = "0"  # of experts that are named each, any stands for all


@cache
def paths_in_a_layer(entry: str, family: str) -> tuple[str, ...]:
    """The paths of a matrix inside of its layer, by the name of its entry; none where they are not known here."""
    *outer, matrix = entry.split(".")
    group = _NUMBERED.sub("", outer[-1]) if outer else ""
    group = _GROUPS.get(group, group)
    group = {"router": "router", "switch": "switch"}.get(matrix, group)
    if group not in _NAMES or matrix not in _NAMES[group][1]:
        return ()
    containers, matrices = _NAMES[group]
    containers = _OWN.get(family, {}).get(group, containers)
    paths = [f"{container}.{name}".lstrip(".") for container in containers for name in matrices[matrix]]
    if group == "experts":
        paths += [f"{container}.{_FIRST}.{name}" for container in containers for name in matrices[matrix]]
    return tuple(paths)


@cache
def stretches(entry: str, family: str) -> tuple[frozenset[str], frozenset[str]]:
    """What of a matrix's paths a pattern may name: their beginnings, and all their stretches, each of whole steps."""
    beginnings, inside = set[str](), set[str]()
    for path in paths_in_a_layer(entry, family):
        steps = path.split(".")
        for start in range(len(steps)):
            for end in range(start + 1, len(steps) + 1):
                inside.add(".".join(steps[start:end]))
                if start == 0:
                    beginnings.add(".".join(steps[:end]))
    return frozenset(beginnings), frozenset(inside)
