"""The types that a GGUF file keeps its tensors in, as the words of a spec: a format for most matrices, and rules for the others."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from tscale.checkpoint.tensors import Tensor
from tscale.core.costs.weights import weight_bytes
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Ledger, Lookup, Matmul
from tscale.core.roles import Role
from tscale.models.lower import lower
from tscale.models.release import released
from tscale.models.spec import ModelSpec
from tscale.models.weights_spec import Release, WeightRule

_REST: Final = "fp32"
_FLOATS: Final = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}
_IN_LAYER: Final = re.compile(r"blk\.(\d+)\.(\w+)\.weight")
_ROLES: Final[Mapping[str, tuple[Role, ...]]] = {
    "token_embd": ("embedding",), "position_embd": ("positions",), "token_types": ("segments",), "output": ("head",),
    "attn_q": ("q",), "attn_k": ("k",), "attn_v": ("v",), "attn_qkv": ("q", "k", "v"), "attn_output": ("o",),
    "attn_q_a": ("q_down",), "attn_q_b": ("q_up",), "attn_kv_a_mqa": ("kv_down",), "attn_kv_b": ("kv_up",),
    "attn_k_b": ("kv_up",), "ffn_up": ("up", "gate"), "ffn_gate": ("gate",), "ffn_down": ("down",),
    "ffn_up_shexp": ("shared_up",), "ffn_gate_shexp": ("shared_gate",), "ffn_down_shexp": ("shared_down",),
    "ffn_gate_inp": ("router",), "ffn_gate_inp_shexp": ("shared_switch",), "ssm_in": ("in",), "ssm_out": ("out",),
}  # fmt: skip
"""What a tensor is of; the gate stands in the tensor up where there is none of its own."""
_ROUTED: Final[Mapping[str, tuple[Role, ...]]] = {
    "ffn_up_exps": ("up",), "ffn_gate_exps": ("gate",), "ffn_down_exps": ("down",), "ffn_gate_up_exps": ("up", "gate"),
}  # fmt: skip
"""The same of routed experts."""

Found = dict[str, dict[int | None, str]]
"""The format of each entry, by layer; None: of one that stands in no layer."""


def with_release(spec: ModelSpec, tensors: tuple[Tensor, ...]) -> ModelSpec:
    """A spec with the types of its file; without, and with a note, where they are not told to the last byte."""
    own = replace(spec, weights=_release(spec, tensors))
    dtypes = released(own)
    counted = 0 if dtypes is None else int(weight_bytes(lower(own), dtypes).total)
    size = sum(tensor.size for tensor in tensors)
    if counted == size:
        return own
    types = ", ".join(sorted({tensor.dtype for tensor in tensors}))
    note = (
        f"Its tensors take {size:,} bytes ({types}); their types are not read here, and weights are counted in 16 bits."
    )
    return replace(spec, notes=(*spec.notes, note))


def _release(spec: ModelSpec, tensors: Iterable[Tensor]) -> Release | None:
    found = _by_entry(lower(spec), tensors)
    dtypes = {format for layers in found.values() for format in layers.values()}
    if not dtypes <= DTYPES.keys():
        return None
    counts = Counter(format for layers in found.values() for layer, format in layers.items() if layer is not None)
    main = next((format for format, _ in counts.most_common() if format != _REST), None)
    rules = tuple(rule for name, layers in found.items() for rule in _rules(name, layers, main))
    return Release(method="gguf", format=main, rules=rules, rest=_REST)


def _by_entry(ledger: Ledger, tensors: Iterable[Tensor]) -> Found:
    """The formats of the entries that tensors are of."""
    names: dict[tuple[Role, bool], str] = {}
    for entry in ledger.entries:
        if isinstance(entry, (Matmul, Lookup)):
            names.setdefault((entry.role, isinstance(entry, Matmul) and entry.experts > 1), entry.name)
    found: Found = defaultdict(dict)
    for tensor in sorted(tensors, key=lambda tensor: "ffn_gate" not in tensor.name):
        inner = _IN_LAYER.fullmatch(tensor.name)
        layer, base = (None, tensor.name.removesuffix(".weight")) if inner is None else (int(inner[1]), inner[2])
        routed = base in _ROUTED
        for role in (_ROUTED if routed else _ROLES).get(base, ()):
            name = names.get((role, routed and role != "router"))
            if name is not None:
                found[name].setdefault(layer, _FLOATS.get(tensor.dtype, tensor.dtype.lower()))
    return found


def _rules(name: str, layers: Mapping[int | None, str], main: str | None) -> Iterator[WeightRule]:
    """The rules of one entry: none in layers where it is as most are."""
    outside = None in layers
    for format in dict.fromkeys(layers.values()):
        if format == main and not outside:
            continue
        at = tuple(sorted(layer for layer, own in layers.items() if own == format and layer is not None))
        everywhere = outside or len(at) == len(layers)
        yield WeightRule(format=format, parts=(name,), layers=None if everywhere else at)
