"""What Python may hand to a question that is no number, no list, no name or no file, and answers used as mappings."""

from __future__ import annotations

import copy
import os
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tscale import api
from tscale.core.partition import Stretch
from tscale.core.recompute import Again
from tscale.errors import TscaleError
from tscale.models.stages import _chosen
from tscale.models.writing import write_over

ANY: Any = api
"""The functions, which are given what their types forbid."""


class Unsayable:
    """An object without a text."""

    def __str__(self) -> str:
        raise ValueError

    __repr__ = __str__


CYCLE: dict[str, Any] = {}
CYCLE["a"] = CYCLE
DEEP: Any = "a"
for _ in range(100_000):
    DEEP = [DEEP]

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "bytes are no list of numbers": (lambda: ANY.attention("gpt2", context=b"8"), "context must be a number or a text, not a bytes"),
    "a list in a list": (lambda: ANY.attention("gpt2", context=[[1]]), "context must be a number or a text, not a list"),
    "a set has no order": (lambda: ANY.memory("gpt2", train=True, stages={6}), "stages must be a number or a text, not a set"),
    "digits without end": (lambda: ANY.memory("gpt2", batch=10**5000), "batch is a number of thousands of digits"),
    "a ratio without end": (lambda: ANY.serve("gpt2", gpu="h100", price=Fraction(10**5000, 7)), "price is a number of thousands"),
    "nan": (lambda: ANY.train("gpt2", gpu="h100", gpus=8, mfu=Decimal("nan")), "mfu must be a number above 0"),
    "changes without end": (lambda: ANY.params("gpt2", set=repeat("layers=1")), "set takes at most 10,000 values"),
    "a range of numbers": (lambda: ANY.params("gpt2", set=range(10**12)), "set takes at most 10,000 values"),
    "a change of digits": (lambda: ANY.params("gpt2", set={"layers": 10**5000}), "a value is a number of thousands of digits"),
    "an array for changes": (lambda: ANY.params("gpt2", set=np.array(8)), "set takes texts, not an int"),
    "bytes for changes": (lambda: ANY.params("gpt2", set=b"layers=1"), "set takes texts, not a bytes"),
    "an object without a text": (lambda: ANY.params(Unsayable()), "not a value of type Unsayable"),
    "a flag without a text": (lambda: ANY.params("gpt2", strict=Unsayable()), "not a value of type Unsayable"),
    "a system that is a number": (lambda: ANY.memory(system=8), "system must be a path, not an int"),
    "a system that is bytes": (lambda: ANY.memory(system=b"s.yaml"), "system must be a path, not a bytes"),
    "hardware in a circle": (lambda: ANY.summary("gpt2", gpu=CYCLE), "gpu: a mapping holds what a YAML or JSON file can"),
    "hardware with a number as key": (lambda: ANY.summary("gpt2", gpu={1: 2}), 'gpu:1:1: unknown key "1"'),
    "hardware without end": (lambda: ANY.summary("gpt2", gpu={"a": DEEP}), "it is nested too deep"),
    "a model in a circle": (lambda: ANY.params(CYCLE), "model: a mapping holds what a YAML or JSON file can"),
    "a model without end": (lambda: ANY.params({"a": DEEP}), "it is nested too deep"),
    "a calibration without a name": (lambda: ANY.serve("gpt2", gpu="h100", calibration=""), "calibration needs the name of a file"),
    "a plot in the terminal": (lambda: api.attention("gpt2").plot("-"), "a plot is a .svg, .png or .pdf file"),
    "a plot of another kind": (lambda: api.attention("gpt2").plot("x.nope"), "a plot is a .svg, .png or .pdf file"),
    "a plot in a number": (lambda: ANY.attention("gpt2").plot(3), "file must be a path, not an int"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_value_is_refused_in_one_line(name: str) -> None:
    ask, said = REFUSED[name]
    with pytest.raises(TscaleError) as caught:
        ask()
    text = str(caught.value)
    assert said.removeprefix("gpu:1:1: ") in text
    assert text.isprintable()
    assert re.search(r"(?<![\w-])--[a-z]", re.sub("`[^`]*`", "", text)) is None


def test_a_file_that_exists_is_told_in_pythons_words(tmp_path: Path) -> None:
    file = tmp_path / "x.svg"
    file.write_text("dear to me", encoding="utf-8")
    with pytest.raises(TscaleError, match="exists already, and is left as it is: choose another name, or force"):
        api.attention("gpt2").plot(file)
    assert file.read_text(encoding="utf-8") == "dear to me"


def test_numbers_of_every_kind_are_numbers() -> None:
    plain = api.memory("gpt2", batch=8, context=512)
    for eight in (Decimal(8), Fraction(8), np.int64(8), np.float32(8), np.array(8), "8"):
        assert ANY.memory("gpt2", batch=eight, context=512) == plain
    assert ANY.attention("gpt2", causal=np.bool_(True)) == api.attention("gpt2", causal=True)


def test_what_can_be_read_once_is_read_once() -> None:
    """The memory of a plan is a second question, made of the same values."""

    def pieces() -> Iterator[int]:
        yield from (5, 7)

    plan: dict[str, Any] = {"gpu": "h100", "gpus": 8, "batch": 64, "pipeline": 2, "tokens": 1e9}
    assert ANY.train("gpt2", stages=pieces(), **plan) == ANY.train("gpt2", stages=[5, 7], **plan)
    assert ANY.attention("gpt2", context=np.array([512, 1024])) == api.attention("gpt2", context=[512, 1024])


def test_an_answer_is_a_mapping_and_several_are_a_list() -> None:
    one, two = api.params("gpt2"), api.params("gpt2", "gpt3")
    assert dict(one) == one.to_dict()
    assert list(two) == two.to_dict() == two[0:2]
    assert (len(two), "params" in one, bool(one)) == (2, True, True)
    with pytest.raises(KeyError, match="its keys are model"):
        one[0]
    for again in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):  # noqa: S301 (our own)
        assert again == one
        assert repr(again) == repr(one)


def test_an_explanation_does_not_write_a_file_again(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    designed = api.design(params=7e9, output=file)
    written = file.read_bytes()
    assert "= " in designed.explain()
    assert designed.to_html(explain=True)
    assert file.read_bytes() == written


def test_the_least_mfu_is_that_of_the_longest_step() -> None:
    plan = api.train("gpt2", gpu="h100", gpus=8, batch=64, tokens=1e9).plan
    seconds, mfu = plan["step_seconds"], plan["mfu_predicted"]
    assert seconds["low"] < seconds["middle"] < seconds["high"]
    assert mfu["low"] < mfu["middle"] < mfu["high"]
    assert mfu["low"] * seconds["high"] == pytest.approx(mfu["high"] * seconds["low"])


def test_layers_are_chosen_without_being_listed() -> None:
    """The first layers of a stage of 10^11, and what named layers leave of it."""
    pieces = (Stretch(0, 5), Stretch(10**11, 10**11))
    assert _chosen(pieces, Again("full", first=7)) == (
        [Stretch(0, 5), Stretch(10**11, 2)],
        [Stretch(10**11 + 2, 10**11 - 2)],
    )
    assert _chosen(pieces, Again("full", layers=(0, 2, 3, 7, 10**11))) == (
        [Stretch(0, 1), Stretch(2, 1), Stretch(3, 1), Stretch(10**11, 1)],
        [Stretch(1, 1), Stretch(4, 1), Stretch(10**11 + 1, 10**11 - 1)],
    )


@pytest.mark.skipif(os.name == "nt", reason="pipes of Unix")
def test_a_pipe_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    """Nor a device, which a file of its name would take the place of."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    write_over(pipe, "said")
    reader.join()
    assert (read, pipe.is_fifo()) == (["said"], True)
