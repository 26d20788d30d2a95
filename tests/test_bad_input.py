"""Every error has a file that causes it, with the exact text.

`bad/NAME.yaml` (or `.json`, a configuration) has something wrong, and `bad/NAME.txt` beside it is what `tscale validate
NAME.yaml` says (of `claims-*`, what `tscale check` says, of `law-*`, `hardware-*` and `families-*`, what a command that takes such
a file says); `fine-*` looks wrong and is not. `bad/command-line-EXIT.txt` holds command lines,
each with what it says and its exit code. What is too big, binary or a device is made by the tests below.

`python -m tests.test_bad_input` writes the texts anew: read the difference before it is kept.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.helpers import Answer, of_each, run
from tscale.errors import RequestError, SpecError
from tscale.models import yaml_file
from tscale.models.resolve import resolve
from tscale.models.template import template, write_template
from tscale.models.validation import MOST_ERRORS, validated
from tscale.models.writing import plain
from tscale.models.yaml_file import MOST_BYTES, parse_document, read_document

BAD = Path(__file__).parent / "bad"
FILES = sorted(path.name for path in BAD.iterdir() if path.suffix in (".yaml", ".json"))
TOLD_BY = {
    "claims": ["check"],
    "law": ["optimal", "--flops", "1e22", "--law"],
    "hardware": ["train", "gpt3", "--gpus", "8", "--gpu"],
    "families": ["params", "gpt3", "--families"],
}
WRONG = [name for name in FILES if not name.startswith("fine-")]
SPECS = [name for name in WRONG if name.partition("-")[0] not in TOLD_BY]
COMMANDS = re.compile(r"^\$ tscale(?P<arguments>.*)\n(?P<said>(?:tscale: .*\n)+)", re.MULTILINE)
SMALL = (BAD / "fine-directive-and-document-marks.yaml").read_text(encoding="utf-8").partition("---\n")[2]
SMALL = SMALL.removesuffix("...\n")


@pytest.fixture(autouse=True)
def _in_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named as a user in their folder would name them, so that the texts are the same everywhere."""
    monkeypatch.chdir(BAD)


def judged(name: str) -> Answer:
    return run(*TOLD_BY.get(name.partition("-")[0], ["validate"]), name)


def command_lines(code: int) -> list[tuple[str, str]]:
    text = (BAD / f"command-line-{code}.txt").read_text(encoding="utf-8")
    return [(match["arguments"], match["said"]) for match in COMMANDS.finditer(text)]


def refused(done: Answer, code: int = 1) -> str:
    """What a command that failed says: one line on stderr that a terminal can show, and nothing on stdout."""
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("tscale: ")
    assert done.err.endswith("\n")
    assert done.err[:-1].isprintable()
    assert len(done.err) < 1200
    return done.err.removeprefix("tscale: ").removesuffix("\n")


# ---------------------------------------------------------------------------------------------------------------------
# Files and command lines with their texts
# ---------------------------------------------------------------------------------------------------------------------


@of_each(WRONG)
def test_a_bad_file_says_what_its_text_holds(name: str) -> None:
    done = judged(name)
    assert (done.code, done.out) == (1, "")
    assert done.err == Path(name).with_suffix(".txt").read_text(encoding="utf-8")
    assert all(line.startswith("tscale: ") for line in done.err.splitlines())


@of_each(SPECS)
def test_a_command_tells_the_first_error_and_how_many_more(name: str) -> None:
    first, *more = Path(name).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    tail = f" (and {len(more)} more: `tscale validate` lists them)" if more else ""
    assert f"tscale: {refused(run('params', name))}" == first + tail


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("fine-")])
def test_a_file_that_only_looks_wrong_is_read_as_the_plain_one(name: str) -> None:
    assert validated(read_document(name)) == validated(parse_document(SMALL, "small"))
    assert run("validate", name).out == f"{name}: small (decoder) is a valid spec\n"


def test_every_text_has_its_file() -> None:
    texts = {path.stem for path in BAD.glob("*.txt")} - {path.stem for path in BAD.glob("command-line-*.txt")}
    assert texts == {Path(name).stem for name in WRONG}


@of_each((code, *line) for code in (1, 2, 3) for line in command_lines(code))
def test_a_bad_command_line_says_what_its_text_holds(case: tuple[int, str, str]) -> None:
    code, arguments, said = case
    done = run(*shlex.split(arguments))
    assert (done.code, done.out, done.err) == (code, "", said)


@of_each([name for name in SPECS if name.endswith(".yaml")])
def test_a_bad_file_on_standard_input_says_the_same(name: str) -> None:
    said = Path(name).with_suffix(".txt").read_text(encoding="utf-8")
    assert run("validate", "-", stdin=Path(name).read_bytes()).err == said.replace(name, "standard input")


# ---------------------------------------------------------------------------------------------------------------------
# Too much of it
# ---------------------------------------------------------------------------------------------------------------------


def test_nesting_ten_thousand_deep(tmp_path: Path) -> None:
    deep = tmp_path / "deep.yaml"
    deep.write_text("[" * 10_000 + "]" * 10_000, encoding="utf-8")
    assert refused(run("params", str(deep))) == f"{deep}:1:41: nested more than 40 deep"
    deep.write_text("\n".join(" " * depth + "a:" for depth in range(600)), encoding="utf-8")
    assert refused(run("params", str(deep))) == f"{deep}:41:41: nested more than 40 deep"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("loss gpt2 --tokens 1e9 --law", 2, "no law "),
        ("check", 2, "no claims "),
        ("verify gpt2", 1, "is not a checkpoint"),
    ],
)
def test_a_name_that_no_file_system_takes_is_of_no_file(words: str, code: int, said: str) -> None:
    done = run(*words.split(), "a" * 300)
    assert (done.code, done.out) == (code, "")
    assert said in done.err.splitlines()[-1]


def test_a_file_of_100_megabytes(tmp_path: Path) -> None:
    """Of which no more is read than a byte past the most."""
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(100 * 2**20)
    tracemalloc.start()
    try:
        assert refused(run("params", str(huge))) == f"{huge}: is larger than 256 KiB: a spec takes two or three"
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


def test_as_large_as_may_be_is_read(tmp_path: Path) -> None:
    padded = tmp_path / "padded.yaml"
    padded.write_text(SMALL + "#" * (MOST_BYTES - len(SMALL)), encoding="utf-8")
    assert run("validate", str(padded)).code == 0


@pytest.mark.slow
def test_more_values_than_a_spec_could_have(tmp_path: Path) -> None:
    """A quarter of a megabyte of them would take many seconds."""
    many = tmp_path / "many.yaml"
    many.write_text(SMALL + f"notes: [{'a,' * 100_000}]\n", encoding="utf-8")
    assert refused(run("params", str(many))).endswith(": more than 10,000 keys and values: a spec takes a hundred")


@pytest.mark.slow
def test_more_stages_of_training_than_functions_may_be_nested(tmp_path: Path) -> None:
    """Their sum is a derivation that is as deep as they are many."""
    many = tmp_path / "many.yaml"
    stages = "".join("  - {tokens: 1e9, context: 16, source: a}\n" for _ in range(600))
    many.write_text(f"{SMALL}training:\n  stages:\n{stages}".replace("  - ", "    - "), encoding="utf-8")
    done = run("flops", str(many), "--explain")
    assert (done.code, done.err) == (0, "")


def test_a_version_is_told_alone() -> None:
    """What reads a command's answer would read the version before it."""
    alone = run("--version")
    assert (alone.code, alone.out) == (0, run("--version", "params", "gpt2", "--format", "json").out)


@pytest.mark.slow
def test_thousands_of_errors_are_not_all_told(tmp_path: Path) -> None:
    """Nor is there a long wait for them."""
    many = tmp_path / "many.yaml"
    many.write_text(SMALL + "".join(f"key{number}: 1\n" for number in range(4_000)), encoding="utf-8")
    done = run("validate", str(many))
    assert len(done.err.splitlines()) == MOST_ERRORS + 1
    assert done.err.splitlines()[-1] == f"tscale: {many}: and {4_000 - MOST_ERRORS} more like these"
    many.write_text(SMALL + f"notes: [{', '.join(['1'] * 9_000)}]\n", encoding="utf-8")
    assert "note 1 must be text, not 1 (and" in refused(run("params", str(many)))


@pytest.mark.parametrize(
    "add", ["? {}\n: 1\n", "kind: {}\n", "notes: {}\n", "<<: {}\n", "title: &{} x\n", "title: !{} x\n"]
)
def test_long_text_is_cut(tmp_path: Path, add: str) -> None:
    long = tmp_path / "long.yaml"
    long.write_text(SMALL + add.format("k" * 100_000), encoding="utf-8")
    refused(run("params", str(long)))


# ---------------------------------------------------------------------------------------------------------------------
# Names and arguments that no one types
# ---------------------------------------------------------------------------------------------------------------------

ODD = [
    "a\0b",
    "a\nb",
    "\x1b[31mred",
    "\x9b31m",
    "\u202egnp",
    "\ud800",
    "\udcff",
    "é",
    "٣",
    "a" * 100_000,
    "a/" * 50_000,
    " ",
    "",
]


@pytest.mark.parametrize("odd", ODD, ids=[ascii(odd[:8]) for odd in ODD])
@pytest.mark.parametrize("suffix", ["", ".yaml", ".json"])
def test_a_name_that_no_one_types(odd: str, suffix: str) -> None:
    name = odd + suffix
    for command in ("params", "attention", "show"):
        done = run(command, "--", name)
        refused(done, code=done.code)
        assert done.code in (1, 2)
    refused(run("compare", "gpt3", "--", name), code=run("params", "--", name).code)
    refused(run("validate", "--", name))
    refused(run("check", "--", name), code=run("check", "--", name).code)
    if re.fullmatch(r"[a-z0-9.-]{1,63}", name) is None:
        refused(run("new", "--", name), code=2)


@of_each(
    product(["--tokens=", "--context=", "--format=", "--set=", "--set=layers=x", "--set=x=1 ", "--source=", "--x"], ODD)
)
def test_an_argument_that_no_one_types(words: tuple[str, str]) -> None:
    refused(run("flops", "gpt3", "".join(words)), code=2)


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_a_file_of_an_odd_name_is_called_on_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a\nb\x1b[31m.yaml", "\udcff.yaml"):
        Path(name).write_text(SMALL, encoding="utf-8")
        done = run("validate", name)
        assert (done.code, done.err) == (0, "")
        assert done.out[:-1].isprintable()
        Path(name).write_text("layers: 0", encoding="utf-8")
        refused(run("params", name))


def test_json_escapes_of_one_character_are_one_character() -> None:
    data = json.dumps({**plain(resolve("gpt2")), "title": "two 𝟚"})
    assert "\\ud835\\udfda" in data
    assert validated(parse_document(data, "json")).title == "two 𝟚"


def test_null_takes_a_field_away() -> None:
    assert run("show", "gpt3", "--set", "title=null").out == run("show", "gpt3", "--set", "title=").out
    assert "title" not in run("show", "gpt3", "--set", "title=null").out


def test_a_set_of_great_depth() -> None:
    assert "unknown key" in refused(run("params", "gpt3", "--set", "attention." * 3000 + "heads=1"), code=2)


def test_sizes_at_the_most_are_counted() -> None:
    done = run(
        "params", "gpt3", *shlex.split("--set layers=1e12 --set d_model=1e12 --set heads=1 --set vocabulary=1e12")
    )
    assert done.code == 0


# ---------------------------------------------------------------------------------------------------------------------
# Devices, pipes and terminals
# ---------------------------------------------------------------------------------------------------------------------

unix = pytest.mark.skipif(os.name == "nt", reason="devices and signals of Unix")


def tscale(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "tscale", *arguments], text=True, timeout=60, check=False, **options
    )


def shell(script: str) -> subprocess.CompletedProcess[str]:
    """A shell command in which `tscale` is the program."""
    script = f'tscale() {{ {shlex.quote(sys.executable)} -m tscale "$@"; }}\n{script}'
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(["bash", "-c", script], text=True, capture_output=True, timeout=60, check=False, env=buffered)


@unix
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom"])
def test_an_endless_device(device: str) -> None:
    assert refused(run("params", device)) == f"{device}: is larger than 16384 KiB: a config.json takes two or three"


@pytest.mark.slow
@unix
def test_a_device_without_end_or_content() -> None:
    assert refused(run("params", "/dev/null")) == "/dev/null: is empty: `tscale new NAME` writes a spec to start from"
    with Path("/dev/zero").open("rb") as zero:
        done = tscale("params", "-", stdin=zero, capture_output=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "tscale: standard input: is larger than 16384 KiB: a config.json takes two or three\n"


@unix
def test_a_terminal_at_which_nobody_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "PATIENCE_SECONDS", 0.05)
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    assert refused(run("params", name)) == f"{name}: cannot be read: nothing came for 0.05 seconds"
    os.close(ours)
    os.close(theirs)


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A named pipe, for which no more than a tenth of a second is waited."""
    monkeypatch.setattr(yaml_file, "PATIENCE_SECONDS", 0.1)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    yield path
    path.unlink()


@unix
def test_a_pipe_that_nobody_writes_to(pipe: Path) -> None:
    assert refused(run("params", str(pipe))) == f"{pipe}: cannot be read: nothing came for 0.1 seconds"


@unix
def test_a_pipe_that_is_written_to_in_pieces(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "PATIENCE_SECONDS", 10)

    def write() -> None:
        with pipe.open("w", encoding="utf-8") as file:
            for line in SMALL.splitlines(keepends=True):
                file.write(line)
                file.flush()
                time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    assert run("validate", str(pipe)).out == f"{pipe}: small (decoder) is a valid spec\n"
    writer.join()


@pytest.mark.slow
@unix
def test_process_substitution() -> None:
    done = shell(
        "tscale validate <(cat fine-bom-and-crlf.yaml) && cat fine-bom-and-crlf.yaml | tscale validate /dev/stdin"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("small (decoder) is a valid spec") == 2
    endless = shell("tscale validate <(yes)")
    assert (endless.returncode, endless.stdout) == (1, "")
    assert "is larger than 16384 KiB" in endless.stderr


@pytest.mark.slow
@unix
@pytest.mark.parametrize("command", ["list", "schema", "--help", "params gpt3", "show gpt3"])
def test_a_closed_pipe_ends_quietly(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = tscale(*command.split(), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@unix
def test_head_reads_as_much_as_it_wants() -> None:
    done = shell("set -o pipefail; tscale list --format json | head -1")
    assert (done.stdout, done.stderr) == ("{\n", "")
    assert done.returncode in (0, 141)


@pytest.mark.slow
@unix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "command", ["list", "schema", "--help", "--version", "params gpt3", "validate fine-bom-and-crlf.yaml"]
)
def test_an_output_that_cannot_be_written(command: str) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = tscale(*command.split(), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == "tscale: the answer cannot be written: No space left on device\n"


@pytest.mark.slow
@unix
@pytest.mark.parametrize(
    "script, code, said",
    [
        ("tscale params gpt3 >&-", 1, "tscale: the answer cannot be written: standard output is closed\n"),
        ("tscale params - <&-", 1, "tscale: standard input: cannot be read: it is closed\n"),
        ("tscale params gpt33 2>&-", 2, ""),
        ("tscale params gpt33 2>/dev/full", 2, ""),
    ],
)
def test_streams_that_are_closed(script: str, code: int, said: str) -> None:
    done = shell(script)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)


@unix
def test_ctrl_c_ends_quietly() -> None:
    """During a read from a pipe that stays open and silent."""
    script = (
        "import signal, tscale.__main__ as m, tscale.cli, tscale.models.yaml_file\n"
        # What a shell starts in the background ignores the signal, and its children with it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "print('r', flush=True)\nm.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "params", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "r\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")


@pytest.mark.slow
def test_an_ascii_terminal_is_told_in_ascii() -> None:
    done = tscale("params", "é", capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert done.stderr.startswith('tscale: no model "\\xe9": ')


# ---------------------------------------------------------------------------------------------------------------------
# What `new` writes
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["mine", "7b", "1", "1e5", "0x10", "010", "1.5", "null", "true", "no", "a..b", "1-2", "a" * 63]
)
def test_what_new_writes_is_a_spec_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("new", name).code == 0
    assert validated(read_document(f"{name}.yaml")).name == name
    assert run("params", f"{name}.yaml").code == 0


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/x", "a\\b", "-x", "A", "a b", "a_b", "é", "a\nb", "a\n", "a" * 64]
)
def test_new_refuses_what_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    refused(run("new", "--", name), code=2)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RequestError):
        template(name)


def test_new_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("dear to me", encoding="utf-8")
    assert refused(run("new", "mine")) == "mine.yaml: exists already, and is left as it is: choose another name"
    assert refused(run("new", "mine.yaml")) == "mine.yaml: exists already, and is left as it is: choose another name"
    Path("link.yaml").symlink_to("nowhere")
    assert refused(run("new", "link")) == "link.yaml: exists already, and is left as it is: choose another name"
    assert Path("mine.yaml").read_text(encoding="utf-8") == "dear to me"


def test_new_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match=r"mine\.yaml: cannot be written: Not a directory"):
        write_template("mine", tmp_path / "file")
    with pytest.raises(SpecError, match=r"mine\.yaml: cannot be written: No such file or directory"):
        write_template("mine", tmp_path / "absent")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_new_in_a_folder_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o500)
    assert refused(run("new", "mine")) == "mine.yaml: cannot be written: Permission denied"
    tmp_path.chmod(0o700)


def test_new_leaves_no_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tscale.models.template.template", lambda *_, **__: "half a \ud800 file"
    )  # fails in the middle of writing
    with pytest.raises(SpecError):
        write_template("mine", tmp_path)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------------------


def main() -> None:
    """Writes the texts anew."""
    os.chdir(BAD)
    for name in WRONG:
        Path(name).with_suffix(".txt").write_text(judged(name).err, encoding="utf-8")
    for path in BAD.glob("command-line-*.txt"):
        fresh = COMMANDS.sub(
            lambda match: f"$ tscale{match['arguments']}\n{run(*shlex.split(match['arguments'])).err}",
            path.read_text(encoding="utf-8"),
        )
        path.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
