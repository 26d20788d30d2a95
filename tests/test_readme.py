"""The README's examples are what the program prints. `python -m tests.test_readme` writes them anew."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tscale
from tests.helpers import run
from tscale.cli import app
from tscale.spec.validation import validated
from tscale.spec.yaml_file import parse_document

README = Path(__file__).parent.parent / "README.md"
EXAMPLE = re.compile(r"^```console\n\$ tscale (?P<command>.*)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)
WIDTH = 100


def examples() -> list[tuple[str, str]]:
    return [(match["command"], match["output"]) for match in EXAMPLE.finditer(README.read_text(encoding="utf-8"))]


def output(command: str) -> str:
    return run(*shlex.split(command), columns=WIDTH).out


@pytest.mark.parametrize("command, printed", examples())
def test_an_example_prints_what_the_readme_shows(command: str, printed: str) -> None:
    assert output(command) == printed


def test_the_readme_has_its_three_calls() -> None:
    text = README.read_text(encoding="utf-8")
    assert {"compare transformer gpt3", "check article"} <= {command for command, _ in examples()}
    assert "tscale params gpt3" in text
    assert "tscale flops [MODEL] --tokens 300e9" in text


@pytest.mark.parametrize("name", ["README.md", "src/tscale/__init__.py"])
def test_its_python_runs(name: str) -> None:
    text = (README.parent / name).read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(re.sub(r'```|"""', "", text), {}, name, name, 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_its_spec_is_valid_and_counts() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    spec = validated(parse_document(blocks[0], "README.md"))
    assert isinstance(spec, tscale.ModelSpec)
    assert tscale.params(tscale.lower(spec)).total == 5_933_109_248


def test_every_command_is_documented() -> None:
    text = README.read_text(encoding="utf-8")
    listed = re.findall(
        r"^  (\w+) {2,}\S", CliRunner().invoke(app, ["--help"]).stdout.partition("Commands:")[2], re.MULTILINE
    )
    assert len(listed) >= 10
    for command in listed:
        assert f"`tscale {command}" in text or f"`{command}" in text, command


def main() -> None:
    """Writes the outputs of the examples into the README."""
    text = README.read_text(encoding="utf-8")
    fresh = EXAMPLE.sub(lambda match: f"```console\n$ tscale {match['command']}\n{output(match['command'])}```", text)
    README.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
