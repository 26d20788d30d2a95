"""`tscale import`: a config.json as a YAML spec that counts alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import answer, run
from tscale.core.questions.forward import forward_flops
from tscale.core.questions.params import params
from tscale.spec.lower import lower, run_of
from tscale.spec.model import ModelSpec
from tscale.spec.resolve import read_config, read_spec

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "oracle" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
]
LLAMA = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}


def _file(folder: Path, config: dict[str, Any]) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_is_written_is_valid_and_counts_alike(case: dict[str, Any], tmp_path: Path) -> None:
    """Or the import is refused as counting the file itself is, and nothing is written."""
    config, written = _file(tmp_path, case["config"]), tmp_path / "model.yaml"
    done = run("import", str(config), "-o", str(written))
    if done.code:
        assert run("params", str(config)).err == done.err
        assert not written.exists()
        return
    assert run("validate", str(written)).code == 0
    read, original = read_spec(str(written)), read_config(str(config))
    assert isinstance(read, ModelSpec)
    assert params(lower(read)).total == case["params"]["total"] - case["params"]["frozen"]
    for length in case["flops"]:
        flops = [forward_flops(lower(spec), run_of(spec, int(length)), "full").total for spec in (read, original)]
        assert flops[0] == flops[1]


def test_without_a_file_it_goes_to_standard_output(tmp_path: Path) -> None:
    _file(tmp_path, LLAMA)
    done = run("import", str(tmp_path))
    (tmp_path / "spec.yaml").write_text(done.out, encoding="utf-8")
    assert done.code == 0
    assert run("import", "-", stdin=json.dumps(LLAMA)).code == 0
    assert answer("params", str(tmp_path / "spec.yaml"))["params"] == answer("params", str(tmp_path))["params"]


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    config, kept = _file(tmp_path, LLAMA), tmp_path / "kept.yaml"
    kept.write_text("mine", encoding="utf-8")
    done = run("import", str(config), "-o", str(kept))
    assert done == (1, "", f"tscale: {kept}: exists already, and is left as it is: choose another name\n")
    assert kept.read_text(encoding="utf-8") == "mine"


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, written = _file(tmp_path, LLAMA), tmp_path / "model.yaml"
    opened = Path.open

    def full(path: Path, mode: str = "r", **options: Any) -> Any:
        file = opened(path, mode, **options)
        if mode == "x":
            file.write("half a sp")

            def fails() -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(file, "flush", fails)
        return file

    monkeypatch.setattr(Path, "open", full)
    done = run("import", str(config), "-o", str(written))
    assert done == (1, "", f"tscale: {written}: cannot be written: No space left on device\n")
    assert list(tmp_path.iterdir()) == [config]


def test_what_is_no_config_is_refused(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("name: x\n", encoding="utf-8")
    assert run("import", str(spec)) == (
        1,
        "",
        f"tscale: {spec}: is no config.json: import reads those, and a YAML spec is one already\n",
    )
    assert run("import", str(tmp_path / "none.json")).err.endswith(
        "none.json: cannot be read: No such file or directory\n"
    )
    assert "the folder holds no config.json" in run("import", str(tmp_path)).err
    assert "nowhere" in run("import", str(_file(tmp_path, LLAMA)), "-o", str(tmp_path / "nowhere" / "x.yaml")).err
