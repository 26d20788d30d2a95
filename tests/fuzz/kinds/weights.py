"""Headers of weight files."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.fuzz.dice import as_json, mutated, scratched, text
from tests.fuzz.kinds.given import file_of
from tscale.checkpoint.gguf import read_header
from tscale.checkpoint.safetensors import header as safetensors_header
from tscale.checkpoint.safetensors import shards_of
from tscale.models.lower import lower
from tscale.models.model_files import described
from tscale.models.spec import ModelSpec

_BITS: Final = {"F32": 32, "BF16": 16, "F8_E4M3": 8, "F4": 4, "I64": 64, "BOOL": 8}


def safetensors(dice: Random) -> None:
    """A header whose tensors follow one another, or one that something is wrong with."""
    at, tensors = 0, dict[str, Any]()
    for index in range(dice.randrange(5)):
        dtype = dice.choice(list(_BITS))
        shape = [dice.choice([0, 1, 2, 8, 64, 2**20]) for _ in range(dice.randrange(4))]
        size = prod(shape) * _BITS[dtype] // 8
        tensors[f"model.layers.{index}.weight"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    if dice.random() < 0.3:
        tensors["__metadata__"] = {"format": "pt"}
    body = as_json(mutated(dice, tensors))
    body = scratched(dice, body) if dice.random() < 0.4 else body
    length = (
        len(body) if dice.random() < 0.8 else dice.choice([0, 1, 2**20, 2**25, 2**40, 2**64 - 1, max(0, len(body) - 1)])
    )
    raw = struct.pack("<Q", length) + body
    size = dice.choice([len(raw) + at] * 4 + [len(raw), 7, 2**40])
    safetensors_header(lambda start, count: raw[start : start + count], size, "x.safetensors")


def shards(dice: Random) -> None:
    """An index of shards."""
    index = {"metadata": {"total_size": 8}, "weight_map": {f"t{n}": f"model-{n % 3}.safetensors" for n in range(6)}}
    raw = as_json(mutated(dice, index))
    names = shards_of(scratched(dice, raw) if dice.random() < 0.5 else raw, "x.index.json")
    assert all("/" not in name and "\\" not in name for name in names)


def _gguf_text(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


def _gguf_value(dice: Random, kind: int, depth: int = 0) -> bytes:
    """A value of a type: of a list, a few of one type, or as many as are claimed."""
    if kind == 8:
        return _gguf_text(text(dice).encode("utf-8", "surrogatepass"))
    if kind == 9:
        inner, count = dice.choice([0, 4, 5, 6, 7, 8, 9, 12, 13]), dice.choice([0, 1, 3, 50])
        claimed = count if dice.random() < 0.8 else dice.choice([2**16, 2**31, 2**63, 2**64 - 1])
        items = b"".join(_gguf_value(dice, inner, depth + 1) for _ in range(count if depth < 3 else 0))
        return struct.pack("<IQ", inner, claimed) + items
    size = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}.get(kind, 0)
    return dice.choice([bytes(size), b"\x01" + bytes(max(0, size - 1)), dice.randbytes(size)])[:size]


_GGUF_KEYS: Final = [
    *("general.architecture", "general.alignment", "general.file_type", "general.quantization_version", "split.count"),
    *(
        f"llama.{key}"
        for key in ("block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size")
    ),
    *(f"llama.attention.{key}" for key in ("head_count", "head_count_kv", "layer_norm_rms_epsilon", "key_length")),
    *("llama.expert_count", "llama.expert_used_count", "llama.rope.dimension_count", "tokenizer.ggml.tokens"),
]
_GGUF_SIZES: Final = {
    "block_count": 1,
    "embedding_length": 32,
    "feed_forward_length": 64,
    "head_count": 4,
    "vocab_size": 96,
    "context_length": 16,
}
_GGUF_TENSORS: Final = {
    "token_embd.weight": (32, 96), "output.weight": (32, 96), "output_norm.weight": (32,), "blk.0.attn_q.weight": (32, 32),
    "blk.0.attn_k.weight": (32, 32), "blk.0.attn_v.weight": (32, 32), "blk.0.attn_output.weight": (32, 32),
    "blk.0.ffn_up.weight": (32, 64), "blk.0.ffn_gate.weight": (32, 64), "blk.0.ffn_down.weight": (64, 32),
    "blk.0.attn_norm.weight": (32,), "blk.0.ffn_norm.weight": (32,),
}  # fmt: skip


def _gguf_pairs(dice: Random, *, right: bool) -> list[bytes]:
    pairs = [
        _gguf_text(b"general.architecture")
        + struct.pack("<I", 8)
        + _gguf_text(dice.choice([b"llama"] * 5 + [b"qwen2", b"bert", b"gpt2", b"x"]))
    ]
    for key, size in _GGUF_SIZES.items():
        where = f"llama.{'attention.' if key.startswith('head') else ''}{key}"
        kept = size if right or dice.random() < 0.9 else dice.choice([0, 1, 7, 2**31, 2**32 - 1])
        pairs.append(_gguf_text(where.encode()) + struct.pack("<II", 4, kept))
    pairs.append(_gguf_text(b"llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5))
    for _ in range(0 if right else dice.randrange(4)):
        kind = dice.choice([*range(14), 8, 9, 99])
        name = dice.choice(_GGUF_KEYS) if dice.random() < 0.7 else text(dice)
        pairs.append(
            _gguf_text(name.encode("utf-8", "surrogatepass")) + struct.pack("<I", kind) + _gguf_value(dice, kind)
        )
    return pairs


def _gguf(dice: Random) -> tuple[bytes, int]:
    """The header of a model of one layer, right or with something wrong, and the bytes of its data."""
    right = dice.random() < 0.2
    pairs, infos, at = _gguf_pairs(dice, right=right), [], 0
    for name, dims in _GGUF_TENSORS.items():
        if not right and dice.random() < 0.05:
            continue
        shape = dims
        if not right and dice.random() < 0.05:
            shape = tuple(dice.choice([0, 1, 31, 32, 2**40]) for _ in range(dice.randrange(6)))
        kind = 1 if right or dice.random() < 0.9 else dice.randrange(45)
        infos.append(_gguf_text(name.encode()) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, at))
        at = (at - (-prod(shape) * 2 // 32) * 32) % 2**63
    tensors, keys = len(infos), len(pairs)
    if not right and dice.random() < 0.1:
        tensors, keys = dice.choice([(tensors, 2**40), (2**16, keys), (2**63, 0), (tensors + 1, keys), (0, 0)])
    return struct.pack("<4sIQQ", b"GGUF", dice.choice([2, 3, 3, 3]), tensors, keys) + b"".join([*pairs, *infos]), at


def _gguf_file(dice: Random) -> bytes:
    raw, data = _gguf(dice)
    raw += bytes(-len(raw) % 32 + min(data, 2**17))
    return scratched(dice, raw) if dice.random() < 0.3 else raw


def gguf(dice: Random) -> None:
    """A GGUF file's header."""
    with file_of("x.gguf", _gguf_file(dice)) as name:
        read_header(Path(name))


def gguf_model(dice: Random) -> None:
    """A GGUF file as a model."""
    with file_of("x.gguf", _gguf_file(dice)) as name:
        spec = described(name, None, strict=False)
        assert isinstance(spec, ModelSpec)
        lower(spec)
