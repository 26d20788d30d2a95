"""What hypothesis draws of command lines and of calls from Python."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, cast

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from typer.main import get_command

from tests.fuzz.texts import spec_data
from tests.fuzz.wrong import KEYS, value, word
from tscale.analysis.questions import NAMES, question
from tscale.catalogue.laws import listed_laws
from tscale.cli import app

MODELS: Final = [
    "gpt3",
    "gpt2",
    "transformer",
    "bert-base",
    "t5-small",
    "gpt-4",
    "gemma-2-9b",
    "mistral-7b",
    "GPT 3",
    "gtp3",
    "-",
    "",
    ".",
]
COUNTS: Final = [
    "1",
    "0",
    "-1",
    "2048",
    "2k",
    "1.5T",
    "300e9",
    "4_096",
    "1e400",
    "1e24",
    "1e12",
    "nan",
    "inf",
    "",
    "2.5",
    "٣",
    "1e-3",
    "k",
    "8k,2k",
    ",",
]


def _commands() -> dict[str, dict[str, Any]]:
    """The options of every command, but for those that write a file: each with its words, a flag's being none."""
    found: dict[str, dict[str, Any]] = {}
    for name, command in cast("Any", get_command(app)).commands.items():
        options = [one for one in command.params if one.param_type_name == "option" and one.metavar != "FILE"]
        found[name] = {
            one.opts[0]: () if one.is_flag else getattr(one.type, "choices", None)
            for one in options
            if one.opts[0] != "--plot"
        }
    return found


COMMANDS: Final = _commands()
_any_key: Final = st.one_of(
    st.sampled_from(KEYS), st.lists(st.sampled_from(KEYS), min_size=2, max_size=3).map(".".join), word
)
_change: Final = st.one_of(
    st.tuples(_any_key, st.one_of(value.map(json.dumps), word)).map("=".join),
    word,
)


def _value_of(option: str, words: Sequence[str] | None) -> SearchStrategy[str]:
    if words:
        return st.one_of(st.sampled_from(words), st.sampled_from(words), word)
    match option:
        case "--set" | "--gpu-set":
            return _change
        case "--gpu":
            return st.one_of(st.sampled_from(["h100", "a100", "H100 SXM", "v100", "tpu-v4", "h10", "-", "gpt3"]), word)
        case "--law":
            return st.one_of(st.sampled_from([*listed_laws(), "kaplan", "-", "no.yaml"]), word)
        case "--assume" | "--draft":
            return st.one_of(st.sampled_from(["llama", "gpt2", "lama", "gpt-4"]), word)
        case _:
            return st.one_of(st.sampled_from(COUNTS), word)


@st.composite
def command_line(draw: DrawFn) -> list[str]:
    command = draw(
        st.one_of(
            st.sampled_from(list(COMMANDS)),
            st.sampled_from(list(COMMANDS)),
            st.sampled_from(["param", "", "-h", "--version"]),
        )
    )
    known = COMMANDS.get(command, {})
    options = [*known, "-h", "--xyz"]
    argument = st.one_of(
        st.sampled_from(MODELS),
        st.sampled_from(MODELS),
        st.sampled_from(["article", "models", "claims", "mine", "no.yaml"]),
        word,
    )
    line = [command, *draw(st.lists(argument, max_size=3))]
    for option in draw(st.lists(st.sampled_from(options[:-1] if draw(st.booleans()) else options), max_size=5)):
        line.append(option)
        if known.get(option, ()) != () and draw(st.integers(0, 9)):
            line.append(draw(_value_of(option, known[option])))
    return line


def command_for_a_spec() -> SearchStrategy[tuple[str, ...]]:
    return st.sampled_from(
        [
            ("params", "-"),
            ("params", "-", "--explain"),
            ("params", "-", "--format", "json"),
            ("flops", "-", "--tokens", "1e9", "--explain"),
            ("flops", "-", "--format", "csv"),
            ("attention", "-", "--versus", "--explain"),
            ("attention", "-", "--causal", "--context", "1,512,8k", "--format", "json"),
            ("compare", "gpt3", "-", "--format", "markdown"),
            ("compare", "-", "gpt-4", "--context", "100"),
            ("show", "-", "--format", "json"),
            ("show", "-", "--set", "title=changed"),
            ("train", "-", "--gpu", "h100", "--gpus", "8", "--tokens", "1e9", "--format", "json"),
            ("train", "-", "--gpu", "h100", "--gpus", "8", "--tensor", "2", "--pipeline", "2", "--tokens", "1e9"),
            ("serve", "-", "--gpu", "h100", "--context", "1k", "--explain"),
            ("memory", "-", "--gpu", "h100", "--context", "1k", "--format", "json"),
            ("memory", "-", "--train", "--context", "1k", "--data", "8", "--shards", "8", "--zero", "3"),
        ]
    )


_ASKED: Final = {name: question(name).ask.options() for name in NAMES}
_CALLED: Final = st.sampled_from(sorted(_ASKED))


@st.composite
def call(draw: DrawFn) -> tuple[str, Any, dict[str, Any]]:
    """A question, what it is asked of, and options of its own that mean something or do not."""
    name = draw(_CALLED)
    options = {key: one for key, one in _ASKED[name].items() if one.kind not in ("model", "models", "argument")}
    has_model = len(options) < len(_ASKED[name])
    given = {}
    for key in draw(st.lists(st.sampled_from(sorted(options)), max_size=6, unique=True)) if options else []:
        words = options[key].choices
        likely = st.sampled_from(words) if words else st.sampled_from([*COUNTS, 1, 2, 8, 64, True])
        given[key] = draw(st.one_of(likely, likely, likely, value))
    return name, draw(st.one_of(st.sampled_from(MODELS), spec_data)) if has_model else None, given
