"""What a file of a system may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tscale.analysis.questions import question
from tscale.analysis.system import ABOUT, READ_BY, TARGETS, fields, read_system
from tscale.errors import SpecError


def test_a_system_has_the_fields_of_its_questions_but_what_is_asked() -> None:
    """One model by that name, whatever questions take several; targets of `plan --serve`; and not which question it is."""
    known = set(fields())
    assert {"model", "gpu", "gpus", "batch", "tensor", "precision", *TARGETS} <= known
    assert not {"train", "serve", "models"} & known
    of_questions = {name for one in ABOUT for name in question(one).ask.options()}
    assert of_questions - known == {"train", "serve", "models"}
    assert known - of_questions == set(TARGETS)
    assert (*ABOUT, "plan") == READ_BY


def test_models_and_hardware_alone_are_mappings(tmp_path: Path) -> None:
    """Written in full, or as changes by name; all else is a value as its option takes it."""
    file = tmp_path / "system.yaml"
    for name in sorted(fields()):
        file.write_text(f"{name}: {{layers: 2}}\n", encoding="utf-8")
        if name in ("model", "gpu", "set", "gpu_set"):
            assert read_system(str(file)) == {name: {"layers": 2}}
        else:
            with pytest.raises(SpecError, match=f"{name}: give a value as --"):
                read_system(str(file))
        file.write_text(f"{name}:\n", encoding="utf-8")
        with pytest.raises(SpecError, match=f"{name}: give a value as --"):
            read_system(str(file))
