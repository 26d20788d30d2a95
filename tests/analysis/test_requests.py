"""Requests: whoever makes one, a command line, Python or a file, it is read alike and refused in one line."""

from __future__ import annotations

import shlex
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import tscale
from tests.helpers import run
from tscale.analysis.questions import NAMES, question
from tscale.analysis.system import ABOUT
from tscale.cli import _OTHERS, _QUESTIONS, app
from tscale.errors import RequestError
from tscale.models.yaml_file import parse_document


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_a_request_is_an_option_of_its_command(name: str) -> None:
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    shown = {"system", "save", "plot", "format", "explain", "output", "output_file", "force", "help", "details"}
    own = set(question(name).ask.options())
    assert {parameter.name for parameter in command.params} - (shown - own) == own


def test_the_list_of_commands_has_the_first_line_of_each() -> None:
    assert list(_QUESTIONS) == list(NAMES)
    for name, line in _QUESTIONS.items():
        assert (question(name).ask.__doc__ or "").startswith(line)
    for name, (_, _, line) in _OTHERS.items():
        assert run(name, "-h", columns=100).out.split("\n\n")[1].strip() == line


def test_a_field_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"^memory has no --tensr: did you mean tensor\?"):
        question("memory").made({"model": "gpt3", "tensr": 2})


@pytest.mark.parametrize("name", NAMES)
def test_a_request_has_the_defaults_that_its_fields_have(name: str) -> None:
    asked = question(name).ask
    assert all(one.name in asked.options() for one in fields(asked) if one.name not in ("given", "explain"))


# ---------------------------------------------------------------------------------------------------------------------
# Systems
# ---------------------------------------------------------------------------------------------------------------------

PLAN = "--gpu h100 --gpus 64 --tensor 8 --pipeline 2 --zero 1 --batch 64 --precision fp8 --recompute selective"


def test_a_plan_that_train_saves_is_read_by_memory_and_by_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args = shlex.split(PLAN)
    timed = run("train", "llama-3.1-8b", *args, "--tokens", "1e12", "--save", "plan.yaml", "--format", "json")
    assert timed.code == 0, timed.err
    saved = parse_document(Path("plan.yaml").read_text(encoding="utf-8"), "plan.yaml").data
    assert isinstance(saved, dict)
    assert saved["model"] == "llama-3.1-8b"
    assert saved["tensor"] == 8
    assert run("train", "--system", "plan.yaml", "--format", "json").out == timed.out
    asked = run("memory", "llama-3.1-8b", "--train", *args, "--format", "json")
    assert run("memory", "--train", "--system", "plan.yaml", "--format", "json").out == asked.out
    assert run("params", "--system", "plan.yaml").out == run("params", "llama-3.1-8b").out


def test_what_is_given_stands_before_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text("model: gpt2\ngpu: h100\nbatch: 4\n", encoding="utf-8")
    assert run("memory", "--system", "s.yaml", "--batch", "1").out == run("memory", "gpt2", "--gpu", "h100").out
    assert run("params", "bert-base", "--system", "s.yaml").out == run("params", "bert-base").out


@pytest.mark.parametrize("name", ABOUT)
def test_every_question_about_a_system_reads_one(name: str, tmp_path: Path) -> None:
    """What a question does not ask is passed over, as the checkpoint of `verify`, which no other question has."""
    file = tmp_path / "s.yaml"
    file.write_text("model: llama-3.1-8b\ngpu: a100\ntokens: 1e10\ngpus: 8\n", encoding="utf-8")
    done = run(name, "--system", str(file))
    assert done.code in (0, 3) or (name == "verify" and "is not a checkpoint" in done.err), done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: gpt2\ntensr: 8\n", 's.yaml:2:1: unknown key "tensr": did you mean tensor?'),
        ("- gpt2\n", "s.yaml: is no system: a mapping such as model: gpt3 is expected"),
        ("model: gpt2\ngpus:\n", "s.yaml:2:6: gpus: give a value as --gpus takes it"),
        (
            "model: gpt2\ngpus: 0\n",
            's.yaml: gpus must be a whole number above 0, such as 1, 8 or 1024, not "0"',
        ),
        ("gpus: 8\n", "Missing argument 'MODEL': see `tscale memory -h`"),
    ],
)
def test_a_file_that_is_no_system_is_refused(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(text, encoding="utf-8")
    done = run("memory", "--system", "s.yaml")
    assert done.err == f"tscale: {said}\n"


def test_a_file_is_never_saved_over_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text("mine\n", encoding="utf-8")
    done = run("memory", "gpt2", "--save", "s.yaml")
    assert (done.code, done.out) == (1, "")
    assert "s.yaml" in done.err
    assert Path("s.yaml").read_text(encoding="utf-8") == "mine\n"


def test_nothing_is_saved_of_a_question_that_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("memory", "no-such-model", "--save", "s.yaml").code == 2
    assert not Path("s.yaml").exists()


def test_memory_of_training_says_the_least_time_of_a_step_as_train_does() -> None:
    args = ["llama-3.1-8b", *shlex.split(PLAN)]
    plan: Any = tscale.train(**_given(args)).report.data["plan"]  # type: ignore[index, call-overload]
    held: Any = tscale.memory(**_given(args), train=True).report.data
    assert held["step"] == {key: value for key, value in plan.items() if key in held["step"]}
    assert held["verdict"] == plan["memory"]["verdict"]
    assert held["per_device_bytes"]["total"] == plan["memory"]["per_device_bytes"]["total"]


def _given(args: list[str]) -> dict[str, Any]:
    pairs = zip(args[1::2], args[2::2], strict=True)
    return {"model": args[0], **{name.removeprefix("--").replace("-", "_"): value for name, value in pairs}}


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["-o", "a\0b"], 1, "a b: cannot be written: embedded null byte"),
        (["-o", "there.txt", "--save", "s.yaml"], 1, "there.txt: exists already, and is left as it is"),
        (["-o", "no/x.txt", "--save", "s.yaml"], 1, "no/x.txt: cannot be written: No such file or directory"),
        (["-o", "there.txt/x.txt", "--save", "s.yaml"], 1, "there.txt/x.txt: cannot be written: Not a directory"),
        (["-o", "s.yaml", "--save", "./s.yaml"], 2, "s.yaml is the file of the answer and of --save"),
        (["-o", "s.yaml", "--save", "s.yaml", "--force"], 2, "s.yaml is the file of the answer and of --save"),
    ],
)
def test_one_file_is_not_written_without_the_other(
    options: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.txt").write_text("dear to me", encoding="utf-8")
    done = run("params", "gpt2", *options)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"tscale: {said}")
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [
        ("there.txt", "dear to me")
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rate: 0", "rate must be a number above 0"),
        ("qlora: 1", "qlora is true or false"),
        ("stack: megatron", "stack is one of current, megatron-bridge-26.06, megatron-deepspeed, megatron-lm, not"),
    ],
)
def test_a_value_of_a_system_is_refused_by_its_file(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it was written, by the name that it has there; on the command line by its option."""
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(f"model: gpt2\ngpu: h100\n{line}\n", encoding="utf-8")
    done = run("serve" if line.startswith("rate") else "train", "--system", "s.yaml")
    assert (done.code, done.err.startswith(f"tscale: s.yaml: {said}")) == (1, True)
    piped = run("memory", "--system", "-", stdin="model: gpt2\ngpus: 0\n")
    assert piped.err.startswith("tscale: standard input: gpus must be a whole number above 0")


NOTHING = ("0", 0, 0.0, Fraction(0), "0.0", " 00 ")


@pytest.mark.parametrize(
    ("name", "field"),
    [("serve", "images"), ("memory", "video_frames"), ("train", "audio_seconds"), ("plan", "images"), ("serve", "prefix"), ("memory", "prefix"), ("loss", "inference_tokens")],
)  # fmt: skip
def test_none_of_what_there_may_be_none_of_is_as_if_it_were_not_given(name: str, field: str) -> None:
    given: dict[str, object] = {"model": "qwen3-vl-2b"}
    if name != "loss":
        given |= {"gpu": "h100"}
    if name == "train":
        given |= {"gpus": 8, "tokens": "1e9"}
    if name == "plan":
        given |= {"serve": True, "rate": 1, "ttft": "1s"}
    ask = question(name)
    plain = ask.made(given)
    for nothing in (*NOTHING, *(("0%",) if field == "prefix" and name == "serve" else ())):
        made = ask.made({**given, field: nothing})
        assert made == plain
        assert field not in made.given


def test_none_of_images_is_no_reason_to_keep_their_size() -> None:
    with pytest.raises(RequestError, match="--image-size is of images"):
        _ = question("serve").made({"model": "qwen3-vl-2b", "gpu": "h100", "images": 0, "image_size": "448x448"}).media


@pytest.mark.parametrize("value", ["-0", "false", "none", "0x0", True, False])
def test_what_is_no_number_of_images_is_refused(value: object) -> None:
    with pytest.raises(RequestError, match="--images must be"):
        question("serve").made({"model": "qwen3-vl-2b", "gpu": "h100", "images": value})
