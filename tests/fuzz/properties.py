"""What must hold of any input: an exit code that we promise, one line for a failure, no traceback, no hang.

Each property takes one input and asserts what holds of it; `PROPERTIES` says what it is tried on. The tests try each
on some, always the same; `python -m tests.fuzz.long_run` on as many as it is told.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping, MutableSequence, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple, cast

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from typer.main import get_command
from typer.testing import CliRunner

import tscale
from tests.helpers import Answer
from tscale.analysis.questions import NAMES, question
from tscale.catalogue.laws import listed_laws
from tscale.catalogue.models import built_in, configs, names, text_of
from tscale.cli import app
from tscale.errors import TscaleError
from tscale.models.validation import validated
from tscale.models.writing import plain, to_yaml
from tscale.models.yaml_file import parse_document

PATIENCE_SECONDS: Final = 10
"""Of computing, for one input."""
WAIT_SECONDS: Final = 120
"""For one input by the clock: of a busy machine, or of something that waits for ever."""
ORACLE: Final = Path(__file__).parent.parent / "oracle" / "cases.jsonl"

# ---------------------------------------------------------------------------------------------------------------------
# Running
# ---------------------------------------------------------------------------------------------------------------------


class HangError(BaseException):
    """Nothing came of a command for too long. No `Exception`, so that nothing takes it for its own."""


@contextmanager
def no_hang() -> Iterator[None]:
    """Raises `HangError` in whatever computes, or waits, for too long; inside of another, that one counts."""

    def ring(_: int, __: FrameType | None) -> None:
        raise HangError

    if not hasattr(signal, "setitimer") or signal.getitimer(signal.ITIMER_PROF)[0]:
        yield
        return
    timers = {
        signal.ITIMER_PROF: (signal.SIGPROF, PATIENCE_SECONDS),
        signal.ITIMER_REAL: (signal.SIGALRM, WAIT_SECONDS),
    }
    before = {number: signal.signal(number, ring) for number, _ in timers.values()}
    for timer, (_, seconds) in timers.items():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, (number, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


ENDED: Final[Counter[int]] = Counter()
"""How many commands ended with each exit code: a run of which none is answered tries nothing but refusals."""


def ran(*arguments: str, stdin: bytes = b"") -> Answer:
    """A command in this process, of which every exception but the end of a process gets out."""
    with no_hang():
        result = CliRunner().invoke(app, list(arguments), input=stdin, prog_name="tscale", catch_exceptions=False)
    ENDED[result.exit_code] += 1
    return Answer(result.exit_code, result.stdout, result.stderr)


def lawful(arguments: tuple[str, ...], done: Answer) -> None:
    """What holds of every command, whatever it was given."""
    lines = done.err.splitlines()
    assert done.code in (0, 1, 2, 3), done
    assert "Traceback" not in done.err, done
    assert all(line.startswith("tscale: ") and line.isprintable() and len(line) < 1200 for line in lines), done
    if done.code in (1, 2):
        assert done.out == "", done
        assert len(lines) == 1 or ("validate" in arguments and lines), done
    else:
        assert len(lines) <= (done.code == 3), done
        assert bool(done.out) != bool(lines), done
    assert "\x1b" not in done.out
    if done.code == 0 and not {"-h", "--help"} & set(arguments) and arguments[-2:] == ("--format", "json"):
        json.loads(done.out)


@contextmanager
def _elsewhere() -> Iterator[Path]:
    """An empty folder, as the current one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


# ---------------------------------------------------------------------------------------------------------------------
# Properties
# ---------------------------------------------------------------------------------------------------------------------


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
    with _elsewhere():
        Path("config.json").write_bytes(text)
        for command in (("params", "."), ("validate", "config.json")):
            done = ran(*command)
            lawful(command, done)
            assert done.code in (0, 1)


def any_command_line(arguments: list[str], stdin: bytes) -> None:
    """A command line is answered or refused, and writes no file but the one that `new` is for."""
    with _elsewhere() as folder:
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
    with _elsewhere() as folder:
        refused: TscaleError | None = None
        try:
            with no_hang():
                json.dumps(getattr(tscale, name)(*given, **options).to_dict(), allow_nan=False)
        except TscaleError as error:
            refused = error
        assert refused is None or str(refused).isprintable(), (name, model, options)
        assert not list(folder.iterdir())


# ---------------------------------------------------------------------------------------------------------------------
# Inputs
# ---------------------------------------------------------------------------------------------------------------------

_BASES: Final = [plain(built_in(name)) for name in names()]
_TEXTS: Final = [text_of(name).encode() for name in names()]
_CLAIMS: Final = (configs() / "claims" / "article.yaml").read_bytes()
_CONFIGS: Final = [json.loads(line)["config"] for line in ORACLE.read_text(encoding="utf-8").splitlines()]

_KEYS: Final = sorted(
    {key for base in _BASES for key in base}
    | {key for base in _BASES for value in base.values() if isinstance(value, dict) for key in value}
    | {
        "window",
        "pattern",
        "rows",
        "width",
        "segments",
        "encoder",
        "kv_heads",
        "head_dim",
        "embedding",
        "projects",
        "gain",
    }
)
_FRAGMENTS: Final = [
    *(
        "&a ",
        "*a",
        "!!int ",
        "!x ",
        "<<: ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "- ",
        "? ",
        ": ",
        "| ",
        "> ",
        "[",
        "]",
        "{",
        "}",
    ),
    *(
        ",",
        "'",
        '"',
        "#",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\u2028",
        "\ufeff",
        "\x00",
        "\x1b[31m",
        "\x85",
        "é",
        "٣",
        "𝟗",
        "@",
        "`",
        "\\",
    ),
    *(
        ".nan",
        ".inf",
        "-.inf",
        "1e400",
        "1e-400",
        "010",
        "0x1F",
        "0o7",
        "1_000",
        "1:30",
        "true",
        "no",
        "~",
        "null",
        "2.5",
        "-0",
    ),
    *('"\\ud800"', '"\\U00110000"', '"\\x00"', "kind: ", "layers: 0\n", "9" * 50, "a" * 300, "[" * 60, "{a: " * 60),
]

_text: Final = st.one_of(
    st.sampled_from(_FRAGMENTS),
    st.sampled_from(
        [*_KEYS, "decoder", "encoder", "encoder-decoder", "rotary", "learned", "local", "global", "none", "masked"]
    ),
    st.text(max_size=8),
)
_number: Final = st.one_of(
    st.sampled_from([0, 1, -1, 2, 3, 64, 10**6, 10**12, 10**12 + 1, 2**63, 2**64, 10**39, 10**45, 0.5, 1e-30, 1e300]),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0]),
    st.integers(-10, 5000),
    st.floats(),
)
_value: Final[SearchStrategy[Any]] = st.recursive(
    st.one_of(st.none(), st.booleans(), _number, _text),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(_KEYS), _text), inner, max_size=3)
    ),
    max_leaves=6,
)


def _places(data: Any) -> list[tuple[Any, Any]]:
    """Every container in some data with every key or index in it."""
    if isinstance(data, dict):
        own: list[tuple[Any, Any]] = [(data, key) for key in data]
    elif isinstance(data, list):
        own = [(data, index) for index in range(len(data))]
    else:
        return []
    return own + [place for container, key in list(own) for place in _places(container[key])]


@st.composite
def _mutated(draw: DrawFn, base: SearchStrategy[Any]) -> Any:
    """Valid data with a few things wrong: keys dropped, added or misspelt, values changed or exchanged."""
    data = copy.deepcopy(draw(base))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3, 5]))):
        places = _places(data)
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["change", "change", "drop", "add", "misspell", "exchange", "near"])):
            case "change":
                container[key] = draw(_value)
            case "drop":
                del container[key]
            case "add" if isinstance(container, MutableMapping):
                container[draw(st.one_of(st.sampled_from(_KEYS), _text))] = draw(_value)
            case "add" if isinstance(container, MutableSequence):
                container.append(draw(_value))
            case "misspell" if isinstance(key, str):
                container[draw(st.sampled_from([key[1:], key + "s", key[::-1], key.upper()]))] = container.pop(key)
            case "exchange":
                other, its_key = draw(st.sampled_from(places))
                if its_key in other if isinstance(other, dict) else its_key < len(other):
                    container[key] = copy.deepcopy(other[its_key])
            case "near" if isinstance(container[key], int):
                container[key] = draw(st.sampled_from([0, 1, container[key] + 1, -container[key], str(container[key])]))
            case _:
                pass
    return data


def _as_yaml(data: Any) -> bytes:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text.encode("utf-8", "surrogatepass")


def _as_json(data: Any) -> bytes:
    return json.dumps(data).encode()


@st.composite
def _scratched(draw: DrawFn, texts: SearchStrategy[bytes]) -> bytes:
    """Text with pieces cut out, doubled, or put in."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 1, 2, 5, 40])))
        put = draw(
            st.one_of(
                _text.map(lambda text: text.encode("utf-8", "surrogatepass")),
                st.binary(max_size=6),
                st.just(text[start:end] * 2),
            )
        )
        text = text[:start] + put + text[end:]
    return text


_spec_data: Final = _mutated(st.sampled_from(_BASES))
_spec_text: Final = st.one_of(
    _spec_data.map(_as_yaml),
    _spec_data.map(_as_json),
    _scratched(st.sampled_from(_TEXTS)),
    _scratched(_spec_data.map(_as_yaml)),
    st.binary(max_size=40),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
_claims_text: Final = st.one_of(
    _mutated(st.just(yaml.safe_load(_CLAIMS))).map(_as_yaml),
    _scratched(st.just(_CLAIMS)),
)
_config_text: Final = st.one_of(
    _mutated(st.sampled_from(_CONFIGS)).map(_as_json),
    _mutated(st.sampled_from(_CONFIGS)).map(_as_json),
    _scratched(st.sampled_from(_CONFIGS).map(_as_json)),
)

_MODELS: Final = [
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
_COUNTS: Final = [
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


_COMMANDS: Final = _commands()
_any_key: Final = st.one_of(
    st.sampled_from(_KEYS), st.lists(st.sampled_from(_KEYS), min_size=2, max_size=3).map(".".join), _text
)
_change: Final = st.one_of(
    st.tuples(_any_key, st.one_of(_value.map(json.dumps), _text)).map("=".join),
    _text,
)


def _value_of(option: str, words: Sequence[str] | None) -> SearchStrategy[str]:
    if words:
        return st.one_of(st.sampled_from(words), st.sampled_from(words), _text)
    match option:
        case "--set" | "--gpu-set":
            return _change
        case "--gpu":
            return st.one_of(st.sampled_from(["h100", "a100", "H100 SXM", "v100", "tpu-v4", "h10", "-", "gpt3"]), _text)
        case "--law":
            return st.one_of(st.sampled_from([*listed_laws(), "kaplan", "-", "no.yaml"]), _text)
        case "--assume" | "--draft":
            return st.one_of(st.sampled_from(["llama", "gpt2", "lama", "gpt-4"]), _text)
        case _:
            return st.one_of(st.sampled_from(_COUNTS), _text)


@st.composite
def _command_line(draw: DrawFn) -> list[str]:
    command = draw(
        st.one_of(
            st.sampled_from(list(_COMMANDS)),
            st.sampled_from(list(_COMMANDS)),
            st.sampled_from(["param", "", "-h", "--version"]),
        )
    )
    known = _COMMANDS.get(command, {})
    options = [*known, "-h", "--xyz"]
    argument = st.one_of(
        st.sampled_from(_MODELS),
        st.sampled_from(_MODELS),
        st.sampled_from(["article", "models", "claims", "mine", "no.yaml"]),
        _text,
    )
    line = [command, *draw(st.lists(argument, max_size=3))]
    for option in draw(st.lists(st.sampled_from(options[:-1] if draw(st.booleans()) else options), max_size=5)):
        line.append(option)
        if known.get(option, ()) != () and draw(st.integers(0, 9)):
            line.append(draw(_value_of(option, known[option])))
    return line


def _command_for_a_spec() -> SearchStrategy[tuple[str, ...]]:
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
def _call(draw: DrawFn) -> tuple[str, Any, dict[str, Any]]:
    """A question, what it is asked of, and options of its own that mean something or do not."""
    name = draw(_CALLED)
    options = {key: one for key, one in _ASKED[name].items() if one.kind not in ("model", "models", "argument")}
    has_model = len(options) < len(_ASKED[name])
    given = {}
    for key in draw(st.lists(st.sampled_from(sorted(options)), max_size=6, unique=True)) if options else []:
        words = options[key].choices
        likely = st.sampled_from(words) if words else st.sampled_from([*_COUNTS, 1, 2, 8, 64, True])
        given[key] = draw(st.one_of(likely, likely, likely, _value))
    return name, draw(st.one_of(st.sampled_from(_MODELS), _spec_data)) if has_model else None, given


class Property(NamedTuple):
    """A promise, what it is tried on, and how often the tests try it."""

    holds: Callable[..., None]
    inputs: tuple[SearchStrategy[Any], ...]
    tries: int


PROPERTIES: Final = {
    "any_spec": Property(any_spec, (_spec_text, _command_for_a_spec()), 80),
    "any_claims": Property(any_claims, (_claims_text,), 60),
    "any_config": Property(any_config, (_config_text,), 60),
    "any_command_line": Property(any_command_line, (_command_line(), _spec_text), 120),
    "any_call": Property(lambda call: any_call(*call), (_call(),), 120),
}
