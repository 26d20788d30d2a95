"""What requests make of their fields: pools of devices, axes of words, quantities, mixtures, files that are written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tscale.analysis import compare, completion
from tscale.analysis.axes import varied, words
from tscale.analysis.layout import layout_of, pool_of
from tscale.analysis.plan import _sizes
from tscale.analysis.plan_explained import _numbers, compare_steps
from tscale.analysis.questions import question
from tscale.analysis.readers import degree
from tscale.analysis.request import Option
from tscale.core.axis import read_axis
from tscale.core.metric import Figure
from tscale.core.units import BYTES
from tscale.errors import RequestError, SpecError


def test_a_pool_of_devices() -> None:
    layout = pool_of("tensor=4, attention-data=8,expert=32,replicas=2", "--prefill")
    assert (layout.tensor, layout.attention_data, layout.expert, layout.expert_tensor, layout.replicas) == (
        4,
        8,
        32,
        1,
        2,
    )
    assert pool_of("tensor=1e3", "--prefill").tensor == 1000
    for text in ("tensor", "tensr=4", "stages=4", "tensor=4,", "tensor=0", "tensor=1000001", "tensor=2,tensor=4"):
        with pytest.raises(RequestError, match=r"^--prefill"):
            pool_of(text, "--prefill")
    with pytest.raises(RequestError, match=r"takes degrees such as tensor=4,replicas=2, not \"stages=4\"|not stages=4"):
        pool_of("stages=4", "--prefill")


def test_a_layout_is_made_of_what_is_given() -> None:
    plain: Any = SimpleNamespace(given={}, tensor=2)
    assert layout_of(plain, 8) is None
    asked: Any = SimpleNamespace(given={"pipeline": 2}, pipeline=2)
    layout = layout_of(asked, 8)
    assert layout is not None and (layout.tensor, layout.pipeline) == (4, 2)


def test_options_that_vary() -> None:
    """A flag is true or false, of choices each value is one, and numbers are read as they are alone."""
    flag = varied(Option("x", kind="flag"), "Vary it.")
    assert (flag.metavar, flag.kind, flag.choices, flag.many) == ("BOOL", "value", (), True)
    assert flag.read("true,false", "--it").values == (True, False)
    choices = varied(Option("x", choices=("a", "b")), "Vary it.")
    assert (choices.metavar, choices.read("b,a", "--it").values) == ("NAMES", ("b", "a"))
    with pytest.raises(RequestError, match="--it is one of a, b, not"):
        choices.read("c", "--it")
    for metavar, shown in (("N", "AXIS"), ("0-3", "AXIS"), ("NAME", "NAMES")):
        assert varied(Option("x", metavar, degree), "Vary it.").metavar == shown
    assert varied(Option("x", "N", degree, choices=("1",)), "Vary it.").metavar == "NAMES"
    assert words(("yes", "no"), {"yes": 1, "no": 0})("no", "--it") == 0


def test_devices_of_a_range_without_a_step_are_powers_of_two_and_its_ends() -> None:
    assert _sizes(read_axis("3..20", "--gpus", degree)) == (3, 4, 8, 16, 20)
    assert _sizes(read_axis("24,8..16+4", "--gpus", degree)) == (24, 8, 12, 16)
    assert _sizes(read_axis("1..1000000000", "--gpus", lambda text, _: int(text)))[-2:] == (2**29, 10**9)


def test_a_quantity_of_the_table_by_its_key_or_its_name() -> None:
    assert compare.quantity("params", "--x") == "params"
    for text in ("kind", "positions", "parms"):
        with pytest.raises(RequestError, match="--x takes a quantity of the table, such as training_flops, not"):
            compare.quantity(text, "--x")
    for many, fine in ((1, False), (2, True), (8, True), (9, False)):
        if fine:
            assert question("compare").made({"models": ["gpt2"] * many})
        else:
            with pytest.raises(RequestError, match=f"compare takes 2 to 8 models, not {many}"):
                question("compare").made({"models": ["gpt2"] * many})


def test_names_that_begin_so() -> None:
    assert completion.model_names("gpt2-x") == ["gpt2-xl"]
    assert "llama31-8b" in completion.model_names("llama31-8")  # another name, since no model is called so
    assert completion.hardware_names("her") == ["here"]
    assert completion.hardware_names("nothing") == []
    assert "memory_gb=" in completion.hardware_fields("mem")
    assert completion.hardware_fields("titl") == []
    assert "fp8" in completion.cache_format_names("fp")
    assert "mxfp4" not in completion.cache_format_names("mx")


def test_mixtures_that_are_asked_for() -> None:
    def wanted(**given: Any) -> Any:
        return question("optimal").made({"flops": "1e22", **given}).mixtures

    one = wanted(experts=64, active_share="1/8", memory_gb=80, inference_tokens="1e12")
    assert one[:2] == (64, 1 / 8)
    assert one[2] == (10**22, 10**12, 80e9, 16_384)
    assert wanted(experts="any")[:2] == (None, None)
    assert wanted(experts="any")[2][:3] == (10**22, 0, None)
    for share, said in (("1/65", "less than one of 64 experts: give at least 1/64"), ("1/64", None)):
        if said is None:
            assert wanted(experts=64, active_share=share)[1] == 1 / 64
        else:
            with pytest.raises(RequestError, match=said):
                wanted(experts=64, active_share=share)


def test_forms_of_a_law_that_is_fitted(tmp_path: Path) -> None:
    pytest.importorskip("scipy")

    def asked(**given: Any) -> Any:
        return question("fit").made({"runs": "runs.csv", **given})

    assert asked().forms == ("chinchilla",)
    assert asked(form=("kaplan", "farseer", "kaplan")).forms == ("kaplan", "farseer")
    with pytest.raises(RequestError, match="--form"):
        asked(form=("kaplann",))
    for name, fine in (("law.yaml", True), ("law.YML", True), ("law.txt", False), ("law", False)):
        if fine:
            assert asked(output=str(tmp_path / name)).file == tmp_path / name
        else:
            with pytest.raises(RequestError, match="names a YAML file"):
                asked(output=str(tmp_path / name))


def test_a_file_is_written_once_or_by_force(tmp_path: Path) -> None:
    there, new = tmp_path / "there.yaml", tmp_path / "new.yaml"
    there.write_text("mine\n", encoding="utf-8")

    def asked(**given: Any) -> Any:
        return question("design").made({"params": "1e9", **given})

    with pytest.raises(SpecError, match="choose another name, or --force"):
        asked(output=str(there))
    forced = asked(output=str(there), force=True)
    forced.write("ours\n")
    assert there.read_text(encoding="utf-8") == "ours\n"
    asked(output=str(new)).write("new\n")
    assert new.read_text(encoding="utf-8") == "new\n"
    with pytest.raises(RequestError, match="--force needs --output FILE"):
        asked(force=True)
    assert asked(output="-").file is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "design takes --params or --flops, such as --params 7e9"), ({"params": "1e9", "flops": "1e21"}, "design takes --params or --flops, not both"),
        ({"params": "1e9", "law": "besiroglu2024"}, "--law needs --flops: give it in place of --params, or drop --law"),
        ({"params": "1e9", "output": "model.txt"}, "--output names a YAML file, such as model.yaml, not model.txt"),
    ],
)  # fmt: skip
def test_a_design_has_one_budget(given: dict[str, str], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        question("design").made(given)
    assert str(refused.value) == said


def test_figures_of_a_row_by_key() -> None:
    """Of an interval its middle; flags and words are no figures."""
    row: Any = {
        "a": Figure(3, BYTES), "b": {"low": Figure(1, BYTES), "middle": Figure(2, BYTES)}, "c": 7, "d": True, "e": "x", "f": {"middle": 9}, "g": Figure(Fraction(1, 2), BYTES),
    }  # fmt: skip
    assert _numbers(row) == {"a": 3, "b": 2, "c": 7, "f": 9, "g": Fraction(1, 2)}


def test_steps_of_two_systems_have_their_names() -> None:
    one: Any = SimpleNamespace(subject="the first", _replace=lambda subject: subject)
    bare: Any = SimpleNamespace(subject="", _replace=lambda subject: subject)
    reports: Any = {"a": SimpleNamespace(steps=(one, bare)), "b": SimpleNamespace(steps=(one,))}
    found: list[Any] = list(compare_steps(reports))
    assert found == ["a: the first", "a", "b: the first"]
