"""What must hold of any input: an exit code that we promise, one line for a failure, no traceback, no hang.

Each property takes one input and asserts what holds of it; `PROPERTIES` says what it is tried on. The tests try each
on some, always the same; `python -m tests.fuzz.long_run` on as many as it is told.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from hypothesis.strategies import SearchStrategy

import tscale
from tests.fuzz.lines import call, command_for_a_spec, command_line
from tests.fuzz.running import elsewhere, lawful, no_hang, ran
from tests.fuzz.texts import claims_text, config_text, spec_text
from tscale.errors import TscaleError
from tscale.models.validation import validated
from tscale.models.writing import plain, to_yaml
from tscale.models.yaml_file import parse_document


def any_spec(text: bytes, command: tuple[str, ...]) -> None:
    """A file that says it is a spec is counted or refused; refused, it is with exit code 1.

    With 2 where a valid one is asked what it has no answer to: an option that does not fit it, the decoding of an encoder.
    """
    done = ran(*command, stdin=text)
    lawful(command, done)
    assert done.code != 2 or "--" in done.err or "is an encoder" in done.err, done
    judged = ran("validate", "-", stdin=text)
    lawful(("validate", "-"), judged)
    assert judged.code in (0, 1)
    if judged.code == 0:
        _reads_back(text)


def _reads_back(text: bytes) -> None:
    """What is accepted once is written so that it is accepted again, as the same."""
    decoded = text.decode("utf-8-sig")
    if '"model_type"' in decoded:
        return
    spec = validated(parse_document(decoded, "text"))
    assert validated(parse_document(to_yaml(spec), "yaml")) == spec
    assert validated(parse_document(json.dumps(plain(spec)), "json")) == spec
    shown = ran("show", "-", stdin=text)
    assert shown.out == to_yaml(spec)
    assert ran("show", "-", "--set", f"layers={plain(spec).get('layers', 'null')}", stdin=text).out in (shown.out, "")


def any_claims(text: bytes) -> None:
    """A file that says it holds claims is audited or refused."""
    done = ran("check", "-", stdin=text)
    lawful(("check", "-"), done)
    assert done.code in (0, 1, 3)


def any_config(text: bytes) -> None:
    """A `config.json` is counted or refused."""
    with elsewhere():
        Path("config.json").write_bytes(text)
        for command in (("params", "."), ("validate", "config.json")):
            done = ran(*command)
            lawful(command, done)
            assert done.code in (0, 1)


def any_command_line(arguments: list[str], stdin: bytes) -> None:
    """A command line is answered or refused, and writes no file but the one that `new` is for."""
    with elsewhere() as folder:
        lawful(tuple(arguments), ran(*arguments, stdin=stdin))
        written = list(folder.iterdir())
        assert len(written) <= ("new" in arguments)
        for path in written:
            assert path.suffix == ".yaml"
            reader = "check" if "--claims" in arguments else "validate"
            assert ran(reader, "--", path.name).code == 0


def any_call(name: str, model: Any, options: dict[str, Any]) -> None:
    """A call from Python has a result that is plain data, or raises a `TscaleError` with a message; it writes no file."""
    given = () if model is None else (model,)
    with elsewhere() as folder:
        refused: TscaleError | None = None
        try:
            with no_hang():
                json.dumps(getattr(tscale, name)(*given, **options).to_dict(), allow_nan=False)
        except TscaleError as error:
            refused = error
        assert refused is None or str(refused).isprintable(), (name, model, options)
        assert not list(folder.iterdir())


class Property(NamedTuple):
    """A promise, what it is tried on, and how often the tests try it."""

    holds: Callable[..., None]
    inputs: tuple[SearchStrategy[Any], ...]
    tries: int


PROPERTIES: Final = {
    "any_spec": Property(any_spec, (spec_text, command_for_a_spec()), 40),
    "any_claims": Property(any_claims, (claims_text,), 60),
    "any_config": Property(any_config, (config_text,), 60),
    "any_command_line": Property(any_command_line, (command_line(), spec_text), 120),
    "any_call": Property(lambda call: any_call(*call), (call(),), 120),
}
