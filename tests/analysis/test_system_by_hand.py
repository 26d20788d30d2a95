"""What a file of a system may say."""

from __future__ import annotations

from tscale.analysis.questions import question
from tscale.analysis.system import ABOUT, READ_BY, TARGETS, fields


def test_a_system_has_the_fields_of_its_questions_but_what_is_asked() -> None:
    """One model by that name, whatever questions take several; targets of `plan --serve`; and not which question it is."""
    known = set(fields())
    assert {"model", "gpu", "gpus", "batch", "tensor", "precision", *TARGETS} <= known
    assert not {"train", "serve", "models"} & known
    of_questions = {name for one in ABOUT for name in question(one).ask.options()}
    assert of_questions - known == {"train", "serve", "models"}
    assert known - of_questions == set(TARGETS)
    assert (*ABOUT, "plan") == READ_BY
