"""An answer as a page: valid, whole, without a request to anywhere, and whatever it holds is text."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.any_text import any_text
from tests.calibration.synthetic import BESIROGLU, csv_of, runs_of
from tests.helpers import disclosed, run
from tests.render.html_tree import Element, parse
from tscale.answers.compare import compare_report
from tscale.answers.params.answer import params_report
from tscale.catalogue.index import configs
from tscale.catalogue.models import built_in, names
from tscale.cli.examples import EXAMPLES
from tscale.core.metric import Column, Compared, Figure, Label, Missing, Report, Step, Table
from tscale.core.plot import Axis, Plot, Point, Rule, Series
from tscale.core.units import BYTES, PARAMETERS, SHARE, TOKENS, Unit
from tscale.models.resolve import resolve
from tscale.render import print_text
from tscale.render.html import to_html, to_html_fragment
from tscale.render.html_style import DARK, FRAGMENT, LIGHT, PAGE
from tscale.render.html_text import cited_in, inline

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "tests" / "checkpoint" / "checkpoints" / "gpt2"
COMMANDS: dict[str, list[list[str]]] = {
    "summary": [["gpt3", "--gpu", "h100"], ["gpt-4"]],
    "params": [["gpt3", "--explain"], ["t5-small", "gemma-2-9b", "gpt-4", "--explain"]],
    "attention": [["gpt3", "--versus", "--explain"], ["mamba-130m"]],
    "flops": [["gpt3", "--tokens", "300e9", "--explain"], ["t5-small"]],
    "compare": [["transformer", "gpt3", "deepseek-v3", "gpt-4", "--explain"]],
    "memory": [
        ["llama-3.1-70b", "--gpu", "h100", "--gpus", "2", "--batch", "16", "--context", "8k", "--explain"],
        ["gpt3", "--train", "--gpu", "a100", "--gpus", "64", "--tensor", "8", "--pipeline", "8", "--sequence"],
    ],
    "train": [["gpt3", "--gpu", "a100", "--gpus", "64", "--batch", "64", "--tensor", "8", "--explain"]],
    "serve": [["llama-3.1-8b", "--gpu", "h100", "--explain"], ["llama-3.1-405b", "--gpu", "h100"]],
    "plan": [["llama-3.2-1b", "--train", "--gpu", "h100", "--gpus", "8,16", "--batch", "64", "--tensor", "1,2"]],
    "optimal": [["--flops", "1e24", "--explain"]],
    "loss": [["llama-3.1-8b", "--explain"]],
    "hyper": [["llama-3.1-8b", "--tokens", "15T", "--explain"]],
    "design": [["--params", "7B", "--explain"]],
    "fit": [["runs.csv", "--bootstraps", "100"]],
    "accuracy": [["steps.csv"]],
    "calibrate": [["serving.csv"]],
    "check": [["article"]],
    "verify": [["gpt2", str(CHECKPOINT)]],
    "sweep": [["params", "gpt3", "--vary", "set.layers=12..96*2"]],
    "list": [["models"], ["hardware"], ["formats"], ["laws"], ["claims"]],
}
PLOTTED = {
    *("attention", "compare", "memory", "serve", "plan", "optimal", "loss"),
    *("fit", "accuracy", "params", "flops", "train", "hyper"),
}
CALLS = [[command, *arguments] for command, calls in COMMANDS.items() for arguments in calls]
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(2)> ' onmouseover='x</style>--><!-- `<b>` &lt;"


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs.csv").write_text(csv_of(runs_of(BESIROGLU, 30, 0.003, 1)), encoding="utf-8")
    steps = (configs() / "measured" / "vtrain.csv").read_text(encoding="utf-8").splitlines()
    Path("steps.csv").write_text("\n".join(steps[:25]), encoding="utf-8")
    serving = (configs() / "measured" / "serving.csv").read_text(encoding="utf-8").splitlines()
    Path("serving.csv").write_text("\n".join(serving[:9]), encoding="utf-8")


def page(*args: str) -> str:
    done = run(*args, "--format", "html")
    assert done.code in (0, 3), done.err
    return done.out


def test_every_command_with_answers_has_a_page() -> None:
    having = {name for name in EXAMPLES if "markdown|html>" in re.sub(r"\s", "", run(name, "--help").out)}
    assert having == set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_a_page_is_valid_and_says_all_that_the_terminal_says(call: list[str]) -> None:
    text = page(*call)
    root = parse(text)
    assert root.one("html").attributes["lang"] == "en"
    assert root.one("h1").text == root.one("head").one("title").text != ""
    check_tables(root)
    check_alone(text, root)
    assert bool(list(root.all("figure"))) == (call[0] in PLOTTED)
    shown = run(*call).out
    addresses = set(re.findall(r"https?://\S+", shown))
    assert {each.rstrip(".,;)") for each in addresses} <= {
        each.attributes["href"].rstrip(".,;)") for each in root.all("a")
    }
    shown = re.sub(r"https?://\S+|^--details shows .*$", "", shown, flags=re.MULTILINE)  # a page has what that counts
    assert set(NUMBER.findall(shown)) <= set(NUMBER.findall(root.one("body").blocks))


def check_tables(root: Element) -> None:
    """Each table has a caption, and a cell in every column of every row; what heads a column or a row says so."""
    for table in root.all("table"):
        caption, head, *bodies = table.children
        assert caption.tag == "caption" and caption.text
        assert head.tag == "thead" and {body.tag for body in bodies} <= {"tbody"}
        (headings,) = head.children
        assert all(cell.attributes["scope"] == "col" and cell.text for cell in headings.all("th"))
        for row in (row for body in bodies for row in body.children):
            assert len(row.children) == len(headings.children)
            assert [cell.attributes["scope"] for cell in row.all("th")] in ([], ["row"])
            assert all(cell.tag == "td" for cell in row.children[1:])


def check_alone(text: str, root: Element) -> None:
    """Nothing is fetched or run: addresses stand in links alone, and the page itself refuses all else."""
    policy, *_ = (meta for meta in root.all("meta") if "http-equiv" in meta.attributes)
    assert policy.attributes["content"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert not {element.tag for element in root.all()} & {"script", "link", "img", "iframe", "object", "base", "form"}
    for element in root.all():
        assert not [
            name for name in element.attributes if name.startswith("on") or name in ("src", "srcset", "xlink:href")
        ]
        if "href" in element.attributes:
            assert element.tag == "a" and re.match("https?://", element.attributes["href"])
    assert re.findall(r"url\((?!#ts-hatch\d\))|@import|@font-face", text) == []


@pytest.mark.slow
def test_the_same_answer_is_the_same_page_in_another_process() -> None:
    """Sets and dictionaries of text are ordered by a seed that each process draws."""
    command = [sys.executable, "-m", "tscale", "compare", "gpt2", "gpt3", "--format", "html"]
    made = [
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert made[0] == made[1]
    assert parse(made[0].decode()).one("h1").text


@pytest.mark.slow
def test_built_in_models_have_pages() -> None:
    for name in names()[::7]:
        report = params_report([built_in(name)])
        root = parse(to_html(report))
        check_tables(root)
        assert (report.tables[0].title if report.tables else report.title) == root.one("h1").text


def answer_that_says(text: str) -> Report:
    """An answer with a text wherever one may stand."""
    columns = (Column(text, "a", numeric=False), Column(text, "b"), Column(text, "c"), Column(text, "d", numeric=False))
    row = (text, Missing(text), Figure(2, BYTES, "cited", text, text), Label(text, "key"))
    table = Table(text, columns, (row, (f"  {text}", *row[1:])), subject=text)
    unit = Unit(text, text, "decimal")
    steps = (Step(text, text, text, Figure(3, unit, source=text), text),)
    part = Report(text, (table, table), {}, (text,), steps, lead=(text,))
    return part._replace(parts=(part, part))


def test_a_hostile_text_injects_nothing_wherever_it_stands() -> None:
    plot = Plot(
        HOSTILE, Axis(HOSTILE, TOKENS), Axis("y", BYTES), (Series(HOSTILE, (Point(1, 1, HOSTILE), Point(2, 3)), "points"),),
        (Rule("x", 2, HOSTILE), Rule("y", 2, HOSTILE)), (HOSTILE,),
    )  # fmt: skip
    hostile, harmless = answer_that_says(HOSTILE), answer_that_says(re.sub(r"[^\w ]", "x", HOSTILE))
    for report, other in ((hostile, harmless), (hostile.parts[0], harmless.parts[0])):
        text = to_html(report, [plot], explain=True)
        root, usual = parse(text), parse(to_html(other, [plot], explain=True))
        check_tables(root)
        check_alone(text, root)
        broken = {"code", "wbr"}  # what stands in backticks, and where a formula may be broken
        assert {element.tag for element in root.all()} - broken == {element.tag for element in usual.all()} - broken
        assert {name for element in root.all() for name in element.attributes} == {
            name for element in usual.all() for name in element.attributes
        }
        fragment = parse(to_html_fragment(report, explain=True))
        assert not {element.tag for element in fragment.all()} & {"script", "img"}


def test_a_hostile_title_is_shown_as_it_was_written() -> None:
    text = page("params", "gpt2", "--set", f"title='{HOSTILE.replace(chr(39), chr(39) * 2)}'")
    root = parse(text)
    check_alone(text, root)
    assert root.one("h1").text.startswith(HOSTILE.replace("`<b>`", "<b>"))


def test_an_address_that_would_run_is_no_link() -> None:
    report = answer_that_says("javascript:alert(1) data:text/html,x vbscript:x")
    assert not list(parse(to_html(report, explain=True)).all("a"))


@given(any_text(), st.booleans())
@settings(deadline=None)
def test_whatever_a_text_holds_is_read_as_it_was_written(text: str, whole: bool) -> None:
    shown = parse(inline(text, whole=whole)).text
    printable = "".join(each if each.isprintable() or each == "\n" else "�" for each in text)
    assert shown == re.sub("`([^`]+)`", r"\1", printable)


@given(st.text(alphabet="https:/.,;)( <>\"'&`x-GPT3 Brown2020", max_size=60))
@settings(deadline=None)
def test_a_link_leads_to_the_address_that_is_written(text: str) -> None:
    root = parse(inline(text, whole=True))
    assert root.text == re.sub("`([^`]+)`", r"\1", text)
    for link in root.all("a"):
        assert link.attributes["href"] in (link.text, "https://arxiv.org/abs/2005.14165")


def test_citations_and_addresses_are_links() -> None:
    root = parse(inline("By Brown 2020, Table D.1 (see https://example.org/a_(b)), and Brown 2020b."))
    assert [(link.text, link.attributes["href"]) for link in root.all("a")] == [
        ("Brown 2020", "https://arxiv.org/abs/2005.14165"),
        ("https://example.org/a_(b)", "https://example.org/a_(b)"),
    ]
    assert [source.short for source in cited_in(["By Brown 2020 and Meta 2024b"])] == ["Brown 2020"]


def cells_of(table: Table) -> list[list[Element]]:
    root = parse(to_html(Report("title", (table,), {})))
    return [row.children for body in root.all("tbody") for row in body.children]


def test_each_kind_of_cell() -> None:
    columns = (
        Column("name", "name", numeric=False),
        Column("size", "size"),
        Column("", "bar", numeric=False, bar=True),
        Column("published", "published"),
    )
    rows = (
        ("whole", Figure(4_831_838_208, BYTES), Figure(Fraction(1, 4), SHARE), Figure(96, PARAMETERS, "cited", "brown2020 Table 1")),
        ("  part", Compared(Figure(12, BYTES, "assumed"), Fraction(3)), Figure(Fraction(1, 2), SHARE), Figure(5, PARAMETERS, "cited")),
        ("sum", Missing("not stated"), "", Missing("never compute-bound")),
    )  # fmt: skip
    table = Table("A table", columns, rows, totals=frozenset({2}))
    first, second, third = cells_of(table)
    assert [cell.text for cell in first] == ["whole", "4.83 GB", "", "96"]
    assert first[0].tag == "th" and first[0].attributes["scope"] == "row"
    assert first[1].attributes["title"] == "4,831,838,208 bytes"
    assert first[2].one("span").attributes["style"] == "width:25.00%"
    assert first[3].attributes["title"] == "Brown 2020, Table 1"
    assert second[0].text == "part" and second[0].classes[-1] == "ts-in1"
    assert second[1].one("span", "ts-mark").text == "†" and second[1].one("span", "ts-ratio").text == "(×3)"
    assert third[1].text == "not stated" and {"ts-none", "ts-short"} <= set(third[1].classes)
    assert "ts-none" in third[3].classes and "ts-short" not in third[3].classes
    assert [one.classes for one in third[1].one("span", "ts-head").children] == [
        [],
        ["ts-mark", "ts-slot"],
        ["ts-ratio"],
    ]
    root = parse(to_html(Report("title", (table,), {})))
    assert [heading.text for heading in root.one("thead").all("th")] == ["name", "size", "published*"]
    assert [body.classes for body in root.all("tbody")] == [[], ["ts-totals"]]
    sources = root.one("section", "ts-sources").one("a")
    assert (sources.text, sources.attributes["href"]) == (
        "Language Models are Few-Shot Learners",
        "https://arxiv.org/abs/2005.14165",
    )


def test_derivations_stand_under_what_they_are_about() -> None:
    steps = (
        Step("d_ff", "4·d_model", "4·768", Figure(3072, PARAMETERS, source="vaswani2017 section 3"), "gpt2"),
        Step("d_ff", "4·d_model", "4·1600", Figure(6400, PARAMETERS), "gpt2-xl"),
    )
    report = Report("title", (), {}, steps=steps)
    assert "4·768" not in to_html(report)
    root = parse(to_html(report, explain=True))
    assert [details.one("summary").text for details in root.all("details")] == ["gpt2", "gpt2-xl"]
    assert all("open" in details.attributes for details in root.all("details"))
    told = [line.text for line in root.all("dd")]
    assert told[:3] == ["4·d_model", "4·768", "3,072 parameters Vaswani 2017, section 3"]


def test_an_answer_of_several_parts_is_one_page() -> None:
    specs = [resolve(name, (), None) for name in ("t5-small", "gpt2")]
    root = parse(to_html(params_report(specs)))
    first, second = (
        section for section in root.all("section") if section.children[0].classes == ["ts-title", "ts-part"]
    )
    assert first.one("h2").text.startswith("T5 small") and second.one("h2").text.startswith("GPT-2 small")
    assert [len(list(section.all("table"))) for section in (first, second)] == [2, 2]


def test_a_fragment_touches_nothing_outside_itself() -> None:
    specs = [resolve(name, (), None) for name in ("gpt2", "gpt3")]
    for report in (compare_report(specs, None), params_report(specs)):
        root = parse(to_html_fragment(report, explain=True))
        (whole,) = root.children
        assert whole.tag == "div" and whole.classes == ["tscale"]
        assert not [
            element for element in root.all() if "id" in element.attributes or element.tag in ("h1", "h2", "h3", "html")
        ]
        assert to_html_fragment(report) == to_html_fragment(report)
    selectors = re.findall(r"(?:^|\})\s*([^{}@]+)\{", FRAGMENT)
    assert len(selectors) > 20
    assert all(
        ".tscale" in part.split(" ")[0] for selector in selectors for part in re.split(r",\s*", selector.strip())
    )


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_what_is_written_or_drawn_is_told_from_its_ground(palette: dict[str, str]) -> None:
    """WCAG 2.2: 4.5 to 1 for text (1.4.3), 3 to 1 for what a picture draws (1.4.11)."""
    for ground in ("paper", "faint"):
        assert all(_contrast(palette[name], palette[ground]) >= 4.5 for name in ("ink", "dim", "link"))
    assert all(
        _contrast(colour, palette["paper"]) >= 3 for name, colour in palette.items() if re.fullmatch(r"c\d", name)
    )


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, by its definition: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_styles_have_light_dark_print_and_narrow_rules() -> None:
    for rule in ("prefers-color-scheme: dark", "@media print", "max-width: 40rem", "tabular-nums"):
        assert rule in PAGE
    used = set(re.findall(r"var\(--ts-(\w+)", PAGE)) - {"chars"}
    assert used <= set(LIGHT) == set(DARK)
    assert PAGE.isascii() and FRAGMENT.isascii() and "<" not in PAGE + FRAGMENT


def test_where_the_encoding_has_less_glyphs_are_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(data, encoding="latin-1", write_through=True))
    print_text("<p>é × 模</p>", references=True)
    assert data.getvalue() == b"<p>&#233; &#215; &#27169;</p>"


def test_the_built_ins_have_titles_that_stay_whole() -> None:
    root = parse(to_html(params_report([resolve("gpt3", (), None)])))
    assert [span.text for span in root.one("h1").all("span", "ts-whole")][:1] == ["GPT-3"]
    assert len(disclosed()) > 50
