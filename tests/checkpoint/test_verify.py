"""`tscale verify` against checkpoints that the real library wrote, and against headers that nothing good wrote."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import answer, run
from tscale.checkpoint.safetensors import MOST_HEADER, read_safetensors

CHECKPOINTS = Path(__file__).parent / "checkpoints"
_EXPERTS = """
name: tiny
layers: 2
d_model: 8
vocabulary: 24
context: 16
tied: false
attention: {heads: 4, kv_heads: 2%s}
feed_forward: {kind: experts, experts: 4, top_k: 2, d_ff: 20%s}
positions: {kind: rotary}
norm: {kind: rmsnorm}
"""
SPECS = {
    "mixtral": _EXPERTS % ("", ""),
    "gpt-oss": _EXPERTS % (", head_dim: 4, bias: true, sinks: true", ", bias: true, router_bias: true"),
}
"""The specs of checkpoints whose config.json need not be read: single experts, and experts packed together."""
PACKED = {"phi3", "gpt-neox", "gpt2", "gpt-oss", "mamba"}  # Mamba keeps A in two dimensions
NAMES = sorted(folder.name for folder in CHECKPOINTS.iterdir())


def _spec(name: str, folder: Path) -> str:
    if name not in SPECS:
        return str(CHECKPOINTS / name)
    path = folder / "spec.yaml"
    path.write_text(SPECS[name], encoding="utf-8")
    return str(path)


def _verify(name: str, folder: Path, *changes: str) -> tuple[int, Any]:
    sets = [part for change in changes for part in ("--set", change)]
    done = run("verify", _spec(name, folder), str(CHECKPOINTS / name), *sets, "--format", "json")
    return done.code, json.loads(done.out)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_library_wrote_is_what_the_spec_predicts(name: str, tmp_path: Path) -> None:
    code, data = _verify(name, tmp_path)
    assert (code, data["agrees"], data["unexpected"]) == (0, True, [])
    assert data["params"]["predicted"] == data["params"]["found"]
    assert all(line["matched"] + line["packed"] == line["predicted"] for line in data["lines"])
    assert any(line["packed"] for line in data["lines"]) == (name in PACKED)
    assert set(data["dtypes"]) == {"BF16"}
    files = list((CHECKPOINTS / name).glob("*.safetensors"))
    assert (data["files"], data["bytes"]["on_disk"]) == (len(files), sum(file.stat().st_size for file in files))
    assert data["bytes"]["data"] == 2 * sum(dtype["numbers"] for dtype in data["dtypes"].values())


@pytest.mark.parametrize("change", ["layers=3", "layers=4", "vocabulary=25", "d_model=12", "norm.final=CHANGE"])
@pytest.mark.parametrize("name", NAMES)
def test_another_spec_differs(name: str, change: str, tmp_path: Path) -> None:
    """Exit code 3, whichever field was changed; the two sides' difference is told."""
    if change.endswith("CHANGE"):
        change = f"norm.final={'true' if name in ('bert', 'bart') else 'false'}"
    code, data = _verify(name, tmp_path, change)
    assert (code, data["agrees"]) == (3, False)
    assert data["unexpected"] or any(line["missing"] for line in data["lines"])
    assert data["params"]["predicted"] != data["params"]["found"]


@pytest.mark.parametrize(
    "name, change",
    [
        ("llama-untied", "attention.kv_heads=4"),
        ("llama-untied", "feed_forward.gated=false"),
        ("llama-untied", "attention.bias=true"),
        ("llama-untied", "norm.kind=layernorm"),
        ("llama-tied", "tied=false"),
        ("qwen2", "attention.bias=false"),
        ("gpt2", "norm.kind=rmsnorm"),
        ("gpt2", "positions.rows=17"),
        ("gpt2", "feed_forward.d_ff=24"),
        ("bert", "head.pooler=true"),
        ("t5", "positions.buckets=16"),
        ("mixtral", "feed_forward.experts=5"),
        ("mixtral", "feed_forward.shared_d_ff=20"),
        ("gpt-oss", "feed_forward.experts=8"),
        ("gpt-oss", "attention.sinks=false"),
        ("gpt-oss", "feed_forward.gated=false"),
        ("phi3", "attention.kv_heads=4"),
    ],
)
def test_each_field_that_decides_a_shape_is_noticed(name: str, change: str, tmp_path: Path) -> None:
    code, data = _verify(name, tmp_path, change)
    assert (code, data["agrees"]) == (3, False)


def test_a_head_that_is_kept_again_is_a_copy_of_a_tied_one(tmp_path: Path) -> None:
    code, data = _verify("llama-untied", tmp_path, "tied=true")
    assert (code, [copy["shape"] for copy in data["copies"]]) == (0, [[24, 8]])
    assert data["params"]["found"] == data["params"]["predicted"]


def test_a_layer_too_many_is_missed_once_in_every_line(tmp_path: Path) -> None:
    _, data = _verify("llama-tied", tmp_path, "layers=3")
    missing = {line["name"]: line["missing"] for line in data["lines"]}
    assert {missing[name] for name in missing if "attention." in name or "feed_forward" in name} == {1}
    assert missing["embedding.tokens"] == missing["norm.final"] == 0


def test_biases_of_norms_that_should_have_none_are_not_expected(tmp_path: Path) -> None:
    _, data = _verify("bert", tmp_path, "norm.kind=rmsnorm")
    assert sum(surplus["tensors"] for surplus in data["unexpected"]) == 6  # two a layer, the embedding's, the head's
    assert not any(line["missing"] for line in data["lines"])


def test_a_buffer_that_is_known_by_its_name_is_no_parameter(tmp_path: Path) -> None:
    _, data = _verify("bart", tmp_path)
    assert data["beside"] == ["final_logits_bias"]


def test_a_folder_is_model_and_path_at_once() -> None:
    folder = str(CHECKPOINTS / "llama-sharded")
    assert answer("verify", folder) == answer("verify", folder, folder)
    assert answer("verify", folder, f"{folder}/model.safetensors.index.json")["files"] > 1


@pytest.mark.parametrize("format", ["table", "csv", "markdown"])
def test_every_format_tells_the_verdict(format: str) -> None:
    done = run("verify", str(CHECKPOINTS / "gpt2"), "--set", "layers=3", "--format", format)
    assert done.code == 3
    assert "attention.q" in done.out
    assert ("They differ: " in done.out) == (format != "csv")


# ---- headers that lie ----


def _bytes(header: object, data: int = 0) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(data)


def _tensor(start: int = 0, stop: int = 4, shape: object = (2,), dtype: object = "F16") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


MALFORMED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "ends within its header: 8 bytes are wanted"),
    "seven bytes": (b"\0" * 7, "ends within its header: 8 bytes are wanted"),
    "truncated header": (
        _bytes({"a": _tensor()})[:30],
        "claims a header of 61 bytes, and is 30 bytes long: cut off?",
    ),
    "huge header": (
        struct.pack("<Q", 2**63) + b"{}",
        "claims a header of 9,223,372,036,854,775,808 bytes: more than 33,554,432 are not read",
    ),
    "no JSON": (_bytes(b"no header at all"), "1:1: not JSON: Expecting value"),
    "no UTF-8": (_bytes(b'{"\xff": 1}'), "its header is not UTF-8: not a safetensors file"),
    "a list": (_bytes(b"[]"), "a header is an object, not a list"),
    "nested": (
        _bytes(b"[" * 100_000),
        "not JSON that a header is made of: nested too deep, or a number of thousands of digits",
    ),
    "digits": (
        _bytes(b'{"a": ' + b"9" * 5000 + b"}"),
        "not JSON that a header is made of: nested too deep, or a number of thousands of digits",
    ),
    "NaN": (_bytes(b'{"a": NaN}'), "NaN is not a number that a model can have"),
    "twice": (
        _bytes(b'{"a": 1, "a": 2}'),
        'key "a" is given twice',
    ),
    "twice within": (
        _bytes(b'{"a": {"dtype": "F16", "dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}', 4),
        'key "dtype" is given twice',
    ),
    "metadata": (_bytes({"__metadata__": {"format": 1}}), "__metadata__ must map names to text"),
    "no offsets": (
        _bytes({"a": {"dtype": "F16", "shape": [2]}}),
        'tensor "a" must have a dtype, a shape and data_offsets, and nothing else',
    ),
    "no mapping": (_bytes({"a": 7}), 'tensor "a" must have a dtype, a shape and data_offsets, and nothing else'),
    "negative shape": (
        _bytes({"a": _tensor(shape=[-2])}, 4),
        'tensor "a" must have a shape of at most 16 whole numbers',
    ),
    "true shape": (_bytes({"a": _tensor(shape=[True])}, 4), 'tensor "a" must have a shape of at most 16 whole numbers'),
    "long shape": (
        _bytes({"a": _tensor(shape=[1] * 17)}, 4),
        'tensor "a" must have a shape of at most 16 whole numbers',
    ),
    "overflowing shape": (
        _bytes({"a": _tensor(shape=[2**62, 2**62, 2**62])}, 4),
        'tensor "a" has a shape larger than any file',
    ),
    "backwards": (
        _bytes({"a": _tensor(4, 0)}, 4),
        'tensor "a" must have data_offsets of two whole numbers, the first not above the second',
    ),
    "wrong size": (
        _bytes({"a": _tensor(shape=[3])}, 4),
        'tensor "a" of F16 takes 6 bytes by its shape, and 4 by its offsets',
    ),
    "half a byte": (
        _bytes({"a": _tensor(0, 1, shape=[3], dtype="F4")}, 1),
        'tensor "a" of F4 takes 1.5 bytes by its shape, and 1 by its offsets',
    ),
    "overlap": (
        _bytes({"a": _tensor(), "b": _tensor(2, 6)}, 6),
        'tensor "b" overlaps the tensor before it by 2 bytes',
    ),
    "same place": (
        _bytes({"a": _tensor(), "b": _tensor()}, 4),
        'tensor "b" overlaps the tensor before it by 4 bytes',
    ),
    "gap": (_bytes({"a": _tensor(), "b": _tensor(6, 10)}, 10), 'tensor "b" leaves a gap of 2 bytes'),
    "past the end": (
        _bytes({"a": _tensor(shape=[200], stop=400)}, 4),
        "its header describes 400 bytes of data, and 4 follow it: cut off?",
    ),
    "too much data": (_bytes({"a": _tensor()}, 9), "its header describes 4 bytes of data, and 9 follow it: cut off?"),
}


def _many(count: int) -> bytes:
    return b"{" + b",".join(b'"%x":{}' % number for number in range(count)) + b"}"


MALFORMED |= {
    "many tensors": (_bytes(_many(65_537)), "describes over 65,536 tensors: that many are read of one file"),
    "many lists": (
        _bytes(b'{"a":[' + b"[]," * 400_000 + b"1]}"),
        "its header does more than name tensors, each with a dtype, a shape and data_offsets",
    ),
    "long shape in a long header": (
        _bytes(b'{"a":{"dtype":"F16","shape":[' + b"1," * 600_000 + b'1],"data_offsets":[0,2]}}', 2),
        "its header does more than name tensors, each with a dtype, a shape and data_offsets",
    ),
    "long name": (
        _bytes(b'{"' + b"a" * 2**20 + b'":{"dtype":"F16","shape":[],"data_offsets":[0,2]}}', 2),
        "its header does more than name tensors, each with a dtype, a shape and data_offsets",
    ),
}


def test_a_header_may_be_spaced_escaped_and_have_metadata_of_any_text(tmp_path: Path) -> None:
    """As JSON allows; a brace or a quote in a text ends nothing."""
    raw = (
        r'{ "__metadata__": {"a": "{\"b\": [1]}", "\u0062": "}"} ,' + "\n"
        r'"t\u0061\"{" : {"data_offsets" : [0, 4], "dtype": "F16", "shape": [ 2 ]} , "b":'
        r'{"dtype":"F16","shape":[],"data_offsets":[4,6]} }   '
    )
    path = tmp_path / "x.safetensors"
    path.write_bytes(_bytes(raw.encode(), 6))
    assert [(tensor.name, tensor.shape) for tensor in read_safetensors(path).tensors] == [('ta"{', (2,)), ("b", ())]


@pytest.mark.parametrize("raw, message", MALFORMED.values(), ids=MALFORMED)
def test_a_broken_file_is_one_clear_line(raw: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw)
    done = run("verify", "gpt2", str(path))
    separator = ":" if message.startswith("1:1") else ": "
    assert done == (1, "", f"tscale: {path}{separator}{message}\n")


def test_an_unknown_dtype_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(_bytes({"a": _tensor(dtype="F17")}, 4))
    done = run("verify", "gpt2", str(path))
    assert done.code == 1
    assert done.err.startswith(f'tscale: {path}: tensor "a" has the dtype "F17", which is not known: one of F4, ')


def test_only_the_header_is_read(tmp_path: Path) -> None:
    """A file of a terabyte, nearly all of it a hole, answers at once."""
    path, size = tmp_path / "x.safetensors", 2**40
    path.write_bytes(_bytes({"a": _tensor(0, size, [size // 2])}))
    os.truncate(path, path.stat().st_size + size)
    done = run("verify", "gpt2", str(path), "--format", "json")
    assert done.code == 3
    assert json.loads(done.out)["bytes"]["data"] == size
    assert json.loads(done.out)["unexpected"][0]["among"] == ["a"]


@pytest.mark.parametrize("length", [MOST_HEADER + 1, 2**64 - 1])
def test_a_header_is_capped_before_it_is_read(length: int, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", length))
    os.truncate(path, 2**40)
    assert "claims a header of" in run("verify", "gpt2", str(path)).err


def test_names_that_lie_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(_bytes({"\x1b[31mred\n": _tensor()}, 4))
    done = run("verify", "gpt2", str(path))
    assert done.code == 3
    assert "\x1b" not in done.out


@pytest.mark.parametrize(
    "index, message",
    [
        ({}, "an index has a weight_map of tensors to the files that they are in"),
        ({"weight_map": {"a": "../x.safetensors"}}, 'tensor "a" is in "../x.safetensors": a shard must be a safetensors file in the folder of its index'),
        ({"weight_map": {"a": "/etc/passwd"}}, 'tensor "a" is in "/etc/passwd": a shard must be a safetensors file in the folder of its index'),
        ({"weight_map": {"a": [[]] * 100_001}}, "holds some 100,004 objects and lists: an index has at most 100,000"),
        ({"weight_map": {"a": 1}}, 'tensor "a" is in 1: a shard must be a safetensors file in the folder of its index'),
        ({"weight_map": {"b": "x.safetensors"}}, 'tensor "b" is not in x.safetensors, where the index puts it'),
        ({"weight_map": {"a": "x.safetensors"}}, 'tensor "c" is in x.safetensors, and the index does not put it there'),
    ],
)  # fmt: skip
def test_an_index_that_lies_is_refused(index: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(_bytes({"a": _tensor(), "c": _tensor(4, 8)}, 8))
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps(index), encoding="utf-8")
    assert run("verify", "gpt2", str(tmp_path)) == (1, "", f"tscale: {path}: {message}\n")


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "x.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert run("verify", "gpt2", str(tmp_path)).err.endswith(
        "x.safetensors: cannot be read: No such file or directory\n"
    )


def test_a_path_without_weights_is_refused(tmp_path: Path) -> None:
    assert "holds no safetensors file" in run("verify", "gpt2", str(tmp_path)).err
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors").write_bytes(_bytes({}))
    assert "holds 2 safetensors files and no model.safetensors.index.json" in run("verify", "gpt2", str(tmp_path)).err
    assert (
        "is not a checkpoint: name a .safetensors or .gguf file" in run("verify", "gpt2", str(tmp_path / "x.bin")).err
    )
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "is not a file of weights" in run("verify", "gpt2", str(tmp_path / "pipe.safetensors")).err
