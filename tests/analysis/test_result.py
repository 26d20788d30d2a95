"""What Python gets: the answers of the command line, by the same names, as data, tables and pages."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tscale
from tests import api_text
from tests.helpers import run
from tscale import api
from tscale.analysis import result
from tscale.analysis.questions import NAMES, question

ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "summary": ("llama-3.1-8b --gpu h100", {"model": "llama-3.1-8b", "gpu": "h100"}),
    "attention": ("gpt3 --context 2k,8k --causal", {"model": "gpt3", "context": [2048, "8k"], "causal": True}),
    "flops": ("gpt3 --tokens 300e9", {"model": "gpt3", "tokens": 300e9}),
    "memory": ("gpt2 --gpu h100 --batch 4", {"model": "gpt2", "gpu": "h100", "batch": 4}),
    "train": ("gpt3 --gpu h100 --gpus 64 --mfu 40%", {"model": "gpt3", "gpu": "h100", "gpus": 64, "mfu": 0.4}),
    "serve": ("gpt2 --gpu h100 --prefix 50%", {"model": "gpt2", "gpu": "h100", "prefix": "50%"}),
    "optimal": ("--flops 5.76e23 --law hoffmann2022-3", {"flops": 5.76e23, "law": ["hoffmann2022-3"]}),
    "loss": ("gpt2 --tokens 1e10", {"model": "gpt2", "tokens": 10**10}),
    "design": ("--params 7e9", {"params": 7_000_000_000}),
    "check": ("article", {"claims": "article"}),
    "list": ("laws", {"what": "laws"}),
}
"""A command line of each question, and the same in Python."""


@pytest.mark.parametrize("name", ASKED)
def test_to_dict_is_the_json_of_the_command(name: str) -> None:
    args, given = ASKED[name]
    result: tscale.Result = getattr(tscale, name)(**given)
    done = run(name, *args.split(), "--format", "json")
    assert (result.exit_code, result.to_dict()) == (done.code, json.loads(done.out))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["params", "compare"])
def test_several_models_are_those_of_the_command(name: str) -> None:
    done = run(name, "gpt2", "bert-base", "--set", "layers=6", "--format", "json")
    result = getattr(tscale, name)("gpt2", tscale.load("bert-base"), set={"layers": 6})
    assert result.to_dict() == json.loads(done.out)


def test_the_functions_are_those_of_the_requests() -> None:
    """`python -m tests.api_text` writes the file anew; `ruff format` lays it out."""
    fresh = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(api_text.FILE), "-"],
        input=api_text.text(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert api_text.FILE.read_text(encoding="utf-8") == fresh


@pytest.mark.parametrize("name", NAMES)
def test_a_keyword_is_an_option(name: str) -> None:
    own = set(question(name).ask.options())
    assert set(inspect.signature(getattr(api, name)).parameters) - {"system"} == own


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: tscale.train("gpt3"), "Missing option 'gpu': see `tscale train -h`"),
        (lambda: tscale.memory("gpt3", zero=2), "zero is of training: add train, or drop it"),
        (lambda: tscale.flops("gpt3", tokens=-4), "tokens must be a whole number above 0"),
        (lambda: tscale.flops("gpt3", tokens=True), "tokens must be a number or a text, not True"),
        (lambda: tscale.attention("gpt3", dtype="bf17"), "dtype is one of fp32, bf16, fp16, fp8, int8, int4, not "),
        (lambda: tscale.params(3), "model must be a name, a path, a mapping or a ModelSpec"),  # type: ignore[arg-type]
        (
            lambda: tscale.params({"name": "x", "d_model": 8, "attention": 3}),
            "model: attention must be a mapping with kind: ",
        ),
        (lambda: tscale.hardware("h1000"), 'no hardware "h1000": did you mean h100?'),
        (lambda: tscale.hardware({"name": "mine"}), 'gpu: missing key "memory_gb" (and 2 more)'),
        (lambda: tscale.compare("gpt3"), "compare takes 2 to 8 models, not 1"),
        (lambda: tscale.memory("gpt3", gpu_set={"memory_gb": 96}), "gpu_set and memory_share are read with gpu only"),
        (lambda: tscale.list("modls"), 'what is one of models, hardware, families, formats, laws, claims, not "modls"'),
        (lambda: tscale.check("article").explain(), "check has no derivations"),
    ],
)
def test_what_is_wrong_is_refused_in_the_words_of_python(ask: Any, said: str) -> None:
    with pytest.raises(tscale.TscaleError) as caught:
        ask()
    assert str(caught.value).startswith(said)
    assert "--" not in str(caught.value).partition("`")[0]


def test_a_model_is_a_name_a_path_a_mapping_or_a_spec(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text = run("show", "gpt2").out
    file.write_text(text, encoding="utf-8")
    config = {"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 2, "vocab_size": 100, "n_positions": 32}
    spec = tscale.load("gpt2")
    counts = {tscale.params(model).total for model in ("gpt2", file, str(file), spec)}
    assert counts == {124439808}
    assert tscale.params(config).total == 100 * 64 + 32 * 64 + 2 * (12 * 64**2 + 13 * 64) + 2 * 64
    assert tscale.memory(config, gpu=_CHIP)


_CHIP: dict[str, Any] = {
    "name": "mine",
    "memory_gb": 80,
    "bandwidth_gb_per_s": 3350,
    "dense_tflops": {"bf16": 989},
    "source": "mine",
}


def test_keys_are_attributes() -> None:
    result = tscale.memory("gpt2", gpu="h100")
    assert (
        result.per_device_bytes.total
        == result["per_device_bytes"]["total"]
        == result.to_dict()["per_device_bytes"]["total"]
    )
    assert "verdict" in dir(result)
    with pytest.raises(AttributeError, match=r"this answer has no verdct: did you mean verdict\?"):
        _ = result.verdct


def test_an_explanation_has_the_formula_of_the_total() -> None:
    assert "vocabulary·d_model" in tscale.params("gpt2").explain()


def test_a_frame_has_the_rows_of_the_csv() -> None:
    frame = tscale.attention("gpt3", context="2k,8k").to_frame()
    lines = run("attention", "gpt3", "--context", "2k,8k", "--format", "csv").out.splitlines()
    assert list(frame.columns) == lines[0].split(",")
    assert len(frame) == len(lines) - 1
    assert frame[frame.columns[0]].tolist() == [2048, 8192]


def test_what_completion_offers_is_public_and_documented() -> None:
    offered = [name for name in dir(tscale) if name != "__version__"]
    assert set(NAMES) <= set(offered)
    assert all(getattr(tscale, name).__doc__ for name in offered)


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, tscale; print(sorted(name for name in sys.modules if name.startswith('tscale')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['tscale']"


@pytest.mark.slow
def test_a_plot_is_shown_or_written(tmp_path: Path) -> None:
    result = tscale.attention("gpt3", context="2k,8k")
    shown = result.plot()
    assert shown is not None
    assert shown.svg == shown._repr_svg_()
    assert result.plot(tmp_path / "plot.svg") is None
    assert (tmp_path / "plot.svg").read_text(encoding="utf-8") == shown.svg
    assert "GPT-3 175B" in shown.svg
    assert "notebook shows" in repr(shown)
    with pytest.raises(tscale.TscaleError, match=r"^a plot is a \.svg, \.png or \.pdf file, and plot\.txt is none$"):
        result.plot("plot.txt")
    with pytest.raises(tscale.TscaleError, match=r"^check has no plot$"):
        tscale.check("article").plot()


def test_help_says_what_is_taken_where_nothing_is_given() -> None:
    assert "optimizer: Set the optimizer (default: adamw)." in (tscale.train.__doc__ or "")
    assert "layer (tensor parallelism; default: 1)." in " ".join((tscale.train.__doc__ or "").split())


def test_the_answer_of_serving_goes_to_a_file_too(tmp_path: Path) -> None:
    """`--output` is the tokens of an answer there."""
    page = tmp_path / "page.html"
    assert run("serve", "gpt2", "--gpu", "h100", "--output", "32", "-o", str(page)).code == 0
    assert "32 output tokens" in page.read_text(encoding="utf-8")


def test_a_row_says_what_it_has_not_and_what_is_nearest() -> None:
    row = result.Row(params=3, layers=2)
    assert row.params == 3
    with pytest.raises(AttributeError, match=r"^no parms here: did you mean params"):
        _ = row.parms
    with pytest.raises(AttributeError, match=r"^no parms here$"):
        _ = result.Row().parms


def test_derivations_are_in_json_and_pages_where_they_are_asked_for() -> None:
    found = tscale.params("gpt2")
    assert json.loads(found.to_json()) == found.to_dict()
    explained = json.loads(found.to_json(explain=True))
    assert {key: explained[key] for key in found.to_dict()} == found.to_dict()
    assert set(explained) - set(found.to_dict()) == {"explain"}
    pages = found.to_html(), found.to_html(explain=True)
    assert ["How each number was made" in page for page in pages] == [False, True]
    assert ["50257·768" in page.replace("<wbr>", "") for page in pages] == [False, True]
