"""GGUF files written by the package that defines them, whole and broken."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import run
from tscale.checkpoint.gguf import _TYPES, Unkept, read_header

gguf = pytest.importorskip("gguf")
np = pytest.importorskip("numpy")

TINY = """
name: tiny
layers: 2
d_model: 32
vocabulary: 96
context: 16
tied: true
attention: {heads: 4, kv_heads: 2}
feed_forward: {d_ff: 64, gated: true}
positions: {kind: rotary}
norm: {kind: rmsnorm}
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    shapes = {"token_embd": (96, 32), "output_norm": (32,), "rope_freqs": (4,)}
    for layer in range(2):
        shapes |= {f"blk.{layer}.{name}": (rows, 32) for name, rows in
                   (("attn_q", 32), ("attn_k", 16), ("attn_v", 16), ("attn_output", 32), ("ffn_up", 64), ("ffn_gate", 64))}  # fmt: skip
        shapes |= {f"blk.{layer}.ffn_down": (32, 64), f"blk.{layer}.attn_norm": (32,), f"blk.{layer}.ffn_norm": (32,)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.zeros(shape, dtype=np.float16 if len(shape) > 1 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.slow
def test_what_the_package_wrote_is_what_the_spec_predicts(spec: str, file: Path) -> None:
    done = run("verify", spec, str(file), "--format", "json")
    data = json.loads(done.out)
    assert (done.code, data["agrees"], data["beside"]) == (0, True, ["rope_freqs.weight"])
    assert set(data["dtypes"]) == {"F16", "F32"}
    assert run("verify", spec, str(file), "--set", "layers=3").code == 3


@pytest.mark.parametrize("length", [0, 3, 20, 100, 400])
def test_a_file_that_is_cut_off_is_one_clear_line(spec: str, file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    done = run("verify", spec, str(file))
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("endian", list(gguf.GGUFEndian))
def test_values_are_what_the_package_wrote_in_both_byte_orders(endian: Any, tmp_path: Path) -> None:
    """Texts in lists are passed over, numbers of layers are kept."""
    path = tmp_path / "x.gguf"
    writer = gguf.GGUFWriter(path, "llama", endianess=endian)
    writer.add_block_count(2)
    writer.add_rope_freq_base(0.5)
    writer.add_bool("a.flag", True)
    writer.add_head_count_kv([4, 8])
    writer.add_token_list(["a", "bc", ""])
    writer.add_array("a.nested", [[1, 2], [3]])
    writer.add_chat_template("x" * 5000)
    writer.add_tensor("t.weight", np.zeros((3, 5), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(path)
    assert header.values == {
        "general.architecture": "llama", "llama.block_count": 2, "llama.rope.freq_base": 0.5, "a.flag": True,
        "llama.attention.head_count_kv": [4, 8], "tokenizer.ggml.tokens": Unkept(3), "a.nested": Unkept(2),
        "tokenizer.chat_template": Unkept(5000),
    }  # fmt: skip
    assert [(tensor.name, tensor.dtype, tensor.shape, tensor.size) for tensor in header.tensors] == [
        ("t.weight", "F32", (3, 5), 60)
    ]


def test_formats_take_what_the_package_says() -> None:
    ours = {number: (name, block, size) for number, (name, block, size) in _TYPES.items()}
    theirs = {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert {number: ours[number] for number in theirs} == theirs


def _header(tensors: int, keys: int, rest: bytes = b"") -> bytes:
    return struct.pack("<4sIQQ", b"GGUF", 3, tensors, keys) + rest


def _list(kind: int, items: int) -> bytes:
    return struct.pack("<Q1sIIQ", 1, b"a", 9, kind, items)


def _tensor(dims: tuple[int, ...], kind: int = 0) -> bytes:
    return struct.pack(f"<Q1sI{len(dims)}QIQ", 1, b"t", len(dims), *dims, kind, 0)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "no magic": (b"GGUX" + bytes(30), "it does not begin with GGUF"),
    "version": (struct.pack("<4sIQQ", b"GGUF", 1, 0, 0), "its version is 1: 2 and 3 are known"),
    "tensors": (_header(2**60, 0), "it claims 1,152,921,504,606,846,976 tensors: at most 65,536 are read"),
    "keys": (_header(0, 2**60), "it claims 1,152,921,504,606,846,976 keys: at most 10,000 are read"),
    "numbers": (_header(0, 1, _list(0, 2**60)), "it does not end within 49 bytes: cut off?"),
    "texts": (_header(0, 1, _list(8, 2**60)), "its lists hold 1,152,921,504,606,846,976 texts: at most 4,000,000 are read"),
    "lists": (_header(0, 1, _list(9, 2**60)), "its lists hold 1,152,921,504,606,846,976 lists: at most 100,000 are read"),
    "deep lists": (_header(0, 1, _list(9, 1) + struct.pack("<IQ", 9, 1) * 9), 'key "a" is of type 9, which is not known'),
    "type": (_header(0, 1, _list(13, 1)), 'key "a" is of type 13, which is not known'),
    "name": (_header(0, 1, struct.pack("<Q", 2**60)), "a key's name is 1,152,921,504,606,846,976 bytes long: at most 1,024 are read"),
    "no UTF-8": (_header(0, 1, struct.pack("<Q1s", 1, b"\xff")), "a key's name is not UTF-8"),
    "twice": (_header(0, 2, struct.pack("<Q1sIB", 1, b"a", 0, 1) * 2), 'key "a" is given twice'),
    "dimensions": (_header(1, 0, _tensor((1,) * 5)), 'tensor "t" has 5 dimensions: at most 4 are known'),
    "format": (_header(1, 0, _tensor((1,), 5)), 'tensor "t" is of type 5, which is not known'),
    "alignment": (
        _header(0, 1, struct.pack("<Q17sII", 17, b"general.alignment", 4, 0)),
        "general.alignment must be a power of two, not 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "said"), HOSTILE.values(), ids=HOSTILE)
def test_a_header_that_claims_more_than_it_holds_is_one_clear_line(
    raw: bytes, said: str, spec: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(raw)
    done = run("verify", spec, str(path))
    assert done == (1, "", f"tscale: {path}: its header cannot be read: {said}\n")


@pytest.mark.parametrize(
    ("infos", "said"),
    [
        (_tensor((5,), 2), 'tensor "t" is no whole number of blocks of Q4_0'),
        (_tensor((1,)) * 2, 'tensor "t" is given twice'),
        (_tensor((2**60, 2**60)), 'tensor "t" reaches past the end of the file'),
    ],
)
def test_tensors_that_cannot_be_are_refused(infos: bytes, said: str, spec: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(_header(1 + (said.endswith("twice")), 0, infos) + bytes(64))
    assert run("verify", spec, str(path)) == (1, "", f"tscale: {path}: {said}\n")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, 8])
def test_lists_are_passed_over_without_an_object_an_item(kind: int, tmp_path: Path) -> None:
    """A million numbers of a byte, or a hundred thousand empty texts: memory follows the bytes, read in one piece."""
    path, items = tmp_path / "x.gguf", 10**6 if kind == 0 else 10**5
    path.write_bytes(_header(0, 1, _list(kind, items)) + bytes(10**6))
    tracemalloc.start()
    header = read_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert header.values == {"a": Unkept(items)}
    assert peak < 4 * path.stat().st_size
