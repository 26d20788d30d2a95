"""The compiled index: it says what the YAML says, one entry or all of them, and gives way where a text has changed since."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from tscale.catalogue import calibrations, hardware, index, laws, measured, models
from tscale.catalogue.compiling import made
from tscale.catalogue.index import KINDS, Kind
from tscale.catalogue.judged import Judgements, judgements
from tscale.catalogue.prices import Prices
from tscale.catalogue.run_counts import run_counts
from tscale.models.spec import ModelSpec


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_index_is_current(kind: Kind) -> None:
    """Stale? `python -m tscale.catalogue` makes it anew."""
    assert index.file_of(kind).read_text(encoding="utf-8") == made(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_one_entry_is_read_as_it_stands_among_all(kind: Kind) -> None:
    for name, data in index.everything(kind):
        assert index.is_compiled(kind, name)
        assert index.compiled(kind, name) == data
    assert not index.is_compiled(kind, "checksum")
    assert index.compiled(kind, "no-such-name") is None


@pytest.mark.slow
def test_index_says_what_the_yaml_says() -> None:
    for name in models.names():
        assert models.built_in(name) == models.from_yaml(name)
    for name in hardware.hardware_names():
        assert hardware.find_hardware(name) == hardware.from_yaml(name)
    for name in laws.listed_laws():
        assert laws.read_law(name) == laws.law_from_yaml(name)
    assert measured.grids() == measured.measured_from_yaml("grid")
    assert measured.Goodputs(interrupted=measured.interrupted_runs()) == measured.measured_from_yaml("goodput")
    assert Judgements(evidence="derived", judged=judgements()) == measured.measured_from_yaml("judged")
    assert Prices(prices=measured.prices()) == measured.measured_from_yaml("prices")
    assert measured.TrainingRuns(runs=measured.training_runs()) == measured.measured_from_yaml("utilisation")
    for name in calibrations.TRAINING:
        assert calibrations.calibration(name) == calibrations.calibration_from_yaml(name)
    assert calibrations.Families(families=calibrations.families()) == calibrations.calibration_from_yaml("kernels")


def test_what_is_compiled_of_published_runs_is_counted_where_their_text_changed_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled = list(run_counts())
    monkeypatch.setattr(index, "counted_of", lambda *_: None)
    assert list(run_counts()) == compiled


def test_a_text_that_changed_since_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    before, text = models.built_in("gpt2"), index.text_of("models", "gpt2")
    assert isinstance(before, ModelSpec)
    changed = text.replace("layers: 12", "layers: 13")
    assert changed != text
    monkeypatch.setattr(index, "text_of", lambda *_: changed)
    assert models.built_in.__wrapped__("gpt2") == replace(before, layers=13)


ANSWERS = (
    (
        ("params", "gpt3"),
        ("yaml", "pydantic", "tscale.blocks.mamba", "tscale.blocks.experts", "tscale.models.problems"),
    ),
    (
        ("memory", "gpt3", "--gpu", "h100"),
        (
            "yaml",
            "pydantic",
            "tscale.blocks.mamba",
            "tscale.models.validation",
            "tscale.models.stages",
            "tscale.models.gguf",
            "tscale.catalogue.measured",
            "tscale.core.costs.post_training",
            "tscale.estimates.memory.media",
        ),
    ),
    (("train", "gpt3", "--gpu", "h100", "--gpus", "1024"), ("yaml", "pydantic", "tscale.models.validation")),
    (
        ("train", "llama-3.1-8b", "--gpu", "h100", "--gpus", "64", "--batch", "128", "--mfu", "0.4"),
        ("yaml", "pydantic", "numpy", "scipy"),
    ),
    (("optimal", "--flops", "1e24"), ("yaml", "pydantic")),
)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "unused"), ANSWERS, ids=lambda words: f"{words[0]}-{len(words)}")
def test_an_answer_about_what_is_shipped_imports_no_reader(command: tuple[str, ...], unused: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom tscale.cli import app\n"
        f"app({list(command)!r}, standalone_mode=False)\n"
        f"print([name for name in {unused!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
