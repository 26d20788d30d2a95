"""An answer and its pictures in files: whole or not at all, and over nothing unless that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from tests.helpers import run
from tscale.answers.params.answer import params_report
from tscale.core.metric import Report
from tscale.core.plot import Axis, Plot, Point, Series
from tscale.core.units import BYTES, TOKENS
from tscale.errors import RequestError, SpecError
from tscale.models.resolve import resolve
from tscale.render import Format, show, show_with_plot, text_of
from tscale.render.html import to_html

FORMATS = get_args(Format)
PLOT = Plot("A picture", Axis("context", TOKENS), Axis("memory", BYTES), (Series("", (Point(1, 2), Point(3, 4))),))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def report() -> Report:
    return params_report([resolve("gpt2", (), None)])


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_holds_what_a_pipe_would_get(format: Format, capsys: pytest.CaptureFixture[str]) -> None:
    show(report(), format)
    piped = capsys.readouterr().out
    show(report(), format, output=Path("answer"))
    assert capsys.readouterr().out == "answer is written\n"
    assert Path("answer").read_text(encoding="utf-8") == piped != ""
    assert files() == ["answer"]


def test_a_file_that_exists_is_kept_unless_forced(capsys: pytest.CaptureFixture[str]) -> None:
    Path("answer").write_text("mine", encoding="utf-8")
    with pytest.raises(
        SpecError, match="answer: exists already, and is left as it is: choose another name, or --force"
    ):
        show(report(), "json", output=Path("answer"))
    assert Path("answer").read_text(encoding="utf-8") == "mine" and capsys.readouterr().out == ""
    show(report(), "json", output=Path("answer"), force=True)
    assert Path("answer").read_text(encoding="utf-8") == text_of(report(), "json")
    assert files() == ["answer"]


def test_a_folder_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SpecError, match="none/answer: cannot be written"):
        show(report(), "html", output=Path("none/answer"))
    assert capsys.readouterr().out == "" and files() == []


def test_an_existing_file_is_refused_before_anything_is_computed() -> None:
    Path("answer").touch()
    Path("a.svg").touch()

    def computed() -> Any:
        pytest.fail("computed for nothing")

    for target, output in (("a.svg", None), (None, "answer"), ("b.svg", "answer"), ("a.svg", "other")):
        with pytest.raises(SpecError, match="exists already"):
            show_with_plot(computed, computed, target, "html", output=None if output is None else Path(output))


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_and_an_answer_in_two_files(format: Format, capsys: pytest.CaptureFixture[str]) -> None:
    show_with_plot(report, lambda: [PLOT], "a.svg", format, output=Path("answer"))
    assert capsys.readouterr().out == "answer is written\na.svg is written\n"
    assert Path("answer").read_text(encoding="utf-8") == text_of(report(), format, plots=[PLOT])
    with pytest.raises(RequestError, match="a name of its own"):
        show_with_plot(report, lambda: [PLOT], "b.svg", format, output=Path("./b.svg"))
    assert files() == ["a.svg", "answer"]


def test_a_page_has_the_picture_whether_it_is_asked_for_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    for target in (None, "-"):
        show_with_plot(report, lambda: [PLOT], target, "html")
        assert capsys.readouterr().out == to_html(report(), [PLOT])


@pytest.mark.slow
@pytest.mark.parametrize("ending, begins", [(".pdf", b"%PDF-1."), (".png", b"\x89PNG\r\n"), (".svg", b"<?xml")])
def test_a_picture_is_written_over_only_if_forced(
    ending: str, begins: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"a{ending}"
    show_with_plot(report, lambda: [PLOT], target, "json")
    first = Path(target).read_bytes()
    assert first.startswith(begins) and b"CreationDate" not in first
    with pytest.raises(SpecError, match=f"a\\{ending}: exists already, and is left as it is: choose another name"):
        show_with_plot(report, lambda: [PLOT], target, "json")
    Path(target).write_bytes(b"mine")
    show_with_plot(report, lambda: [PLOT], target, "json", force=True)
    assert Path(target).read_bytes() == first
    assert files() == [target]


@pytest.mark.slow
def test_a_pdf_has_its_words_as_text() -> None:
    """Its letters are glyphs of an embedded font with a map back to Unicode, not outlines."""
    show_with_plot(report, lambda: [PLOT], "a.pdf", "json")
    data = Path("a.pdf").read_bytes()
    assert b"/FontFile2" in data and b"/ToUnicode" in data


@pytest.mark.parametrize(
    "words",
    [
        ("params", "gpt2", "-o"), ("params", "gpt2", "--save"), ("params", "gpt2", "--system"), ("serve", "gpt2", "--gpu", "h100", "-o"),
        ("sweep", "params", "gpt2", "--vary", "set.layers=1,2", "-o"), ("design", "--params", "1e9", "-o"),
    ],
)  # fmt: skip
def test_a_file_without_a_name_is_refused(words: tuple[str, ...]) -> None:
    for nothing in ("", " "):
        done = run(*words, nothing)
        assert (done.code, done.out) == (2, "")
        assert done.err.endswith(" needs the name of a file\n")


def test_a_dash_is_standard_output_of_every_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (("params", "gpt2"), ("serve", "gpt2", "--gpu", "h100")):
        assert run(*words, "-o", "-").out == run(*words).out
    assert list(tmp_path.iterdir()) == []
