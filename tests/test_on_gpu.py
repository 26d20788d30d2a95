"""The script that measures a GPU: what it says where there is none, and that what it writes is read and judged."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

import tscale
from tests import on_gpu


def test_a_machine_without_torch_or_without_a_gpu_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(on_gpu, "torch", None)
    assert on_gpu.main([str(tmp_path / "made")]) == 1
    assert capsys.readouterr().err.startswith("torch is not installed here")
    monkeypatch.setattr(on_gpu, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False)))
    assert on_gpu.main([str(tmp_path / "made")]) == 1
    assert capsys.readouterr().err.startswith("torch sees no GPU here")
    assert not (tmp_path / "made").exists()


def test_the_stack_has_the_shape_of_the_model_that_its_rows_name() -> None:
    stated = asdict(tscale.load(on_gpu.MODEL))
    attention, inner = stated["attention"], stated["feed_forward"]
    assert (stated["layers"], stated["d_model"]) == (on_gpu.LAYERS, on_gpu.WIDTH)
    assert (stated["vocabulary"], stated["tied"]) == (on_gpu.WORDS, True)
    assert (attention["heads"], attention["kv_heads"]) == (on_gpu.HEADS, on_gpu.KV_HEADS)
    assert (attention["head_dim"], inner["d_ff"], inner["gated"]) == (on_gpu.HEAD, on_gpu.INNER, True)


def test_what_is_measured_of_training_is_judged_row_by_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda = SimpleNamespace(mem_get_info=lambda: (0, 140 * 2**30))
    torch = SimpleNamespace(__version__="2.14", cuda=cuda, OutOfMemoryError=MemoryError)
    monkeypatch.setattr(on_gpu, "torch", torch)
    monkeypatch.setattr(on_gpu, "step_of", lambda *_: on_gpu.Measured(0.5, 20 * 2**30))
    memory, speed = zip(*on_gpu.training("h200-sxm"), strict=True)
    for name, rows in (("memory.csv", memory), ("speed.csv", speed)):
        on_gpu.write(tmp_path / name, rows)
        found = tscale.accuracy(tmp_path / name)
        assert (found.answered, found.refused) == (len(on_gpu.STEPS), 0)
