"""GGUF files written by the package that defines them, whole and broken."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from tests.helpers import run

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


def test_a_length_without_end_is_refused_at_once(spec: str, tmp_path: Path) -> None:
    """An array of 2^60 bytes, of which there is not one."""
    key = b"a"
    array = struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", 9, 0, 2**60)
    path = tmp_path / "x.gguf"
    path.write_bytes(struct.pack("<IIQQ", 0x46554747, 3, 0, 1) + array)
    done = run("verify", spec, str(path))
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "its header cannot be read" in done.err


def test_without_the_package_a_line_says_what_to_install(
    spec: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tscale.checkpoint.gguf.find_spec", lambda _: None)
    wanted = "GGUF files need the package gguf: `pip install '.[gguf]'` in the folder of tscale's source installs it"
    assert run("verify", spec, str(file)) == (1, "", f"tscale: {file}: {wanted}\n")
