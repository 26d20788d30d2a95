"""The kinds of input that `tests/fuzz/flood.py` makes: each makes one by dice, and gives it to what reads its like.

What cannot be read raises a `TscaleError`; what a kind asserts beyond that stands in it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from itertools import islice
from math import prod
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import tscale
from tests.calibration.synthetic import BESIROGLU, csv_of, runs_of
from tests.fuzz.dice import as_json, decoded, mutated, number, scratched, text, value
from tests.fuzz.files import _HARDWARE, _LAWS
from tests.fuzz.properties import _BASES, _CLAIMS, _COMMANDS, _COUNTS, _MODELS, _TEXTS, lawful, ran
from tests.fuzz.requests import _ABSURD, _DESCRIPTIONS, _LIKELY, _RANGES, _SMALL, _SYSTEMS
from tests.fuzz.requests import _BASES as _LINES
from tscale import hub
from tscale.analysis import completion
from tscale.analysis.questions import NAMES, question
from tscale.analysis.request import Option, spelled
from tscale.analysis.system import READ_BY, with_system
from tscale.calibration.runs import parse_runs
from tscale.catalogue.claims import read_claims
from tscale.catalogue.hardware import read_hardware
from tscale.catalogue.laws import law_from_yaml
from tscale.catalogue.models import configs
from tscale.checkpoint.gguf import read_header
from tscale.checkpoint.safetensors import header as safetensors_header
from tscale.checkpoint.safetensors import shards_of
from tscale.cli.boundary import plot_with_value
from tscale.importer.config_file import config_spec
from tscale.importer.families import more_families
from tscale.importer.json_file import parse_object
from tscale.importer.pattern_machine import Budget, Overspent, glob_machine, regex_machine
from tscale.models.lower import lower
from tscale.models.model_files import described, described_text
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.writing import plain, to_yaml, yaml_of
from tscale.models.yaml_file import Document, parse_document

ORACLE: Final = Path(__file__).parent.parent / "oracle"


class Kind(NamedTuple):
    """What is tried, and how much of the time it is given next to the others."""

    tries: Callable[[Random], None]
    weight: int


@contextmanager
def _file(name: str, raw: bytes) -> Iterator[str]:
    """A file of a name, for as long as it is read; the current folder is otherwise as it was."""
    path = Path(name)
    path.write_bytes(raw)
    try:
        yield name
    finally:
        assert path.read_bytes() == raw, f"{name} was written over"
        path.unlink()


# ---------------------------------------------------------------------------------------------------------------------
# Headers of weights
# ---------------------------------------------------------------------------------------------------------------------

_BITS: Final = {"F32": 32, "BF16": 16, "F8_E4M3": 8, "F4": 4, "I64": 64, "BOOL": 8}


def safetensors(dice: Random) -> None:
    """A header whose tensors follow one another, or one that something is wrong with."""
    at, tensors = 0, dict[str, Any]()
    for index in range(dice.randrange(5)):
        dtype = dice.choice(list(_BITS))
        shape = [dice.choice([0, 1, 2, 8, 64, 2**20]) for _ in range(dice.randrange(4))]
        size = prod(shape) * _BITS[dtype] // 8
        tensors[f"model.layers.{index}.weight"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    if dice.random() < 0.3:
        tensors["__metadata__"] = {"format": "pt"}
    body = as_json(mutated(dice, tensors))
    body = scratched(dice, body) if dice.random() < 0.4 else body
    length = (
        len(body) if dice.random() < 0.8 else dice.choice([0, 1, 2**20, 2**25, 2**40, 2**64 - 1, max(0, len(body) - 1)])
    )
    raw = struct.pack("<Q", length) + body
    size = dice.choice([len(raw) + at] * 4 + [len(raw), 7, 2**40])
    safetensors_header(lambda start, count: raw[start : start + count], size, "x.safetensors")


def shards(dice: Random) -> None:
    """An index of shards."""
    index = {"metadata": {"total_size": 8}, "weight_map": {f"t{n}": f"model-{n % 3}.safetensors" for n in range(6)}}
    raw = as_json(mutated(dice, index))
    names = shards_of(scratched(dice, raw) if dice.random() < 0.5 else raw, "x.index.json")
    assert all("/" not in name and "\\" not in name for name in names)


def _gguf_text(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


def _gguf_value(dice: Random, kind: int, depth: int = 0) -> bytes:
    """A value of a type: of a list, a few of one type, or as many as are claimed."""
    if kind == 8:
        return _gguf_text(text(dice).encode("utf-8", "surrogatepass"))
    if kind == 9:
        inner, count = dice.choice([0, 4, 5, 6, 7, 8, 9, 12, 13]), dice.choice([0, 1, 3, 50])
        claimed = count if dice.random() < 0.8 else dice.choice([2**16, 2**31, 2**63, 2**64 - 1])
        items = b"".join(_gguf_value(dice, inner, depth + 1) for _ in range(count if depth < 3 else 0))
        return struct.pack("<IQ", inner, claimed) + items
    size = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}.get(kind, 0)
    return dice.choice([bytes(size), b"\x01" + bytes(max(0, size - 1)), dice.randbytes(size)])[:size]


_GGUF_KEYS: Final = [
    *("general.architecture", "general.alignment", "general.file_type", "general.quantization_version", "split.count"),
    *(
        f"llama.{key}"
        for key in ("block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size")
    ),
    *(f"llama.attention.{key}" for key in ("head_count", "head_count_kv", "layer_norm_rms_epsilon", "key_length")),
    *("llama.expert_count", "llama.expert_used_count", "llama.rope.dimension_count", "tokenizer.ggml.tokens"),
]
_GGUF_SIZES: Final = {
    "block_count": 1,
    "embedding_length": 32,
    "feed_forward_length": 64,
    "head_count": 4,
    "vocab_size": 96,
    "context_length": 16,
}
_GGUF_TENSORS: Final = {
    "token_embd.weight": (32, 96), "output.weight": (32, 96), "output_norm.weight": (32,), "blk.0.attn_q.weight": (32, 32),
    "blk.0.attn_k.weight": (32, 32), "blk.0.attn_v.weight": (32, 32), "blk.0.attn_output.weight": (32, 32),
    "blk.0.ffn_up.weight": (32, 64), "blk.0.ffn_gate.weight": (32, 64), "blk.0.ffn_down.weight": (64, 32),
    "blk.0.attn_norm.weight": (32,), "blk.0.ffn_norm.weight": (32,),
}  # fmt: skip


def _gguf_pairs(dice: Random, *, right: bool) -> list[bytes]:
    pairs = [
        _gguf_text(b"general.architecture")
        + struct.pack("<I", 8)
        + _gguf_text(dice.choice([b"llama"] * 5 + [b"qwen2", b"bert", b"gpt2", b"x"]))
    ]
    for key, size in _GGUF_SIZES.items():
        where = f"llama.{'attention.' if key.startswith('head') else ''}{key}"
        kept = size if right or dice.random() < 0.9 else dice.choice([0, 1, 7, 2**31, 2**32 - 1])
        pairs.append(_gguf_text(where.encode()) + struct.pack("<II", 4, kept))
    pairs.append(_gguf_text(b"llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5))
    for _ in range(0 if right else dice.randrange(4)):
        kind = dice.choice([*range(14), 8, 9, 99])
        name = dice.choice(_GGUF_KEYS) if dice.random() < 0.7 else text(dice)
        pairs.append(
            _gguf_text(name.encode("utf-8", "surrogatepass")) + struct.pack("<I", kind) + _gguf_value(dice, kind)
        )
    return pairs


def _gguf(dice: Random) -> tuple[bytes, int]:
    """The header of a model of one layer, right or with something wrong, and the bytes of its data."""
    right = dice.random() < 0.2
    pairs, infos, at = _gguf_pairs(dice, right=right), [], 0
    for name, dims in _GGUF_TENSORS.items():
        if not right and dice.random() < 0.05:
            continue
        shape = dims
        if not right and dice.random() < 0.05:
            shape = tuple(dice.choice([0, 1, 31, 32, 2**40]) for _ in range(dice.randrange(6)))
        kind = 1 if right or dice.random() < 0.9 else dice.randrange(45)
        infos.append(_gguf_text(name.encode()) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, at))
        at = (at - (-prod(shape) * 2 // 32) * 32) % 2**63
    tensors, keys = len(infos), len(pairs)
    if not right and dice.random() < 0.1:
        tensors, keys = dice.choice([(tensors, 2**40), (2**16, keys), (2**63, 0), (tensors + 1, keys), (0, 0)])
    return struct.pack("<4sIQQ", b"GGUF", dice.choice([2, 3, 3, 3]), tensors, keys) + b"".join([*pairs, *infos]), at


def _gguf_file(dice: Random) -> bytes:
    raw, data = _gguf(dice)
    raw += bytes(-len(raw) % 32 + min(data, 2**17))
    return scratched(dice, raw) if dice.random() < 0.3 else raw


def gguf(dice: Random) -> None:
    """A GGUF file's header."""
    with _file("x.gguf", _gguf_file(dice)) as name:
        read_header(Path(name))


def gguf_model(dice: Random) -> None:
    """A GGUF file as a model."""
    with _file("x.gguf", _gguf_file(dice)) as name:
        spec = described(name, None, strict=False)
        assert isinstance(spec, ModelSpec)
        lower(spec)


# ---------------------------------------------------------------------------------------------------------------------
# Text
# ---------------------------------------------------------------------------------------------------------------------


def _configs() -> list[dict[str, Any]]:
    """Four configurations of each family that any is recorded of."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(ORACLE.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            data = json.loads(line)
            config = data.get("config") if isinstance(data, dict) else None
            if isinstance(config, dict):
                of_kind = found.setdefault(str(config.get("model_type")), [])
                of_kind += [config] if len(of_kind) < 4 else []
    return [config for several in found.values() for config in several]


_CONFIGS: Final = _configs()
_YAML_TEXTS: Final = [
    *_TEXTS,
    *(path.read_bytes() for path in sorted(configs().glob("*/*.yaml")) if path.stat().st_size < 6000),
]


def json_text(dice: Random) -> None:
    """A JSON text with pieces of it cut out, doubled or put in."""
    parse_object(decoded(scratched(dice, as_json(dice.choice(_CONFIGS)))), "x.json", what="a config.json")


def yaml_text(dice: Random) -> None:
    """A YAML file the same."""
    raw = dice.choice(_YAML_TEXTS)
    start = dice.randrange(len(raw))
    parse_document(decoded(scratched(dice, raw[start : start + dice.randrange(1, 600)])), "x.yaml")


def config(dice: Random) -> None:
    """A config.json of any family."""
    raw = as_json(mutated(dice, dice.choice(_CONFIGS)))
    raw = scratched(dice, raw) if dice.random() < 0.2 else raw
    spec = config_spec(decoded(raw), Path("config.json"), "config.json", strict=dice.random() < 0.2)
    if isinstance(spec, ModelSpec) and dice.random() < 0.3:
        lower(spec, saves=False)
    if isinstance(spec, ModelSpec) and dice.random() < 0.05:
        assert plain(validated(Document(plain(spec), "written", {}, {}))) == plain(spec)


def description(dice: Random) -> None:
    """What describes a model in a file of another name."""
    name = dice.choice([*_DESCRIPTIONS, "params.json"])
    raw = as_json(mutated(dice, dice.choice(_DESCRIPTIONS[name])))
    described_text(decoded(scratched(dice, raw) if dice.random() < 0.3 else raw), Path(name), name)


def spec(dice: Random) -> None:
    """A spec as plain data; what is accepted is written so that it is accepted again."""
    data = mutated(dice, dice.choice(_BASES))
    found = validated(Document(_as_read(data), "x.yaml", {}, {}))
    if isinstance(found, ModelSpec) and dice.random() < 0.2:
        lower(found)
    if dice.random() < 0.03:
        assert validated(parse_document(to_yaml(found), "written")) == found


def _as_read(data: Any) -> Any:
    """Data as a file can hold it: with keys that are texts, and numbers that are numbers."""
    if isinstance(data, dict):
        return {str(key): _as_read(item) for key, item in data.items()}
    if isinstance(data, list):
        return [_as_read(item) for item in data]
    if isinstance(data, float) and not abs(data) < 1e300:
        return None
    return data.encode("utf-8", "replace").decode() if isinstance(data, str) else data


def _rows() -> list[Any]:
    return [
        parse_document(path.read_text(encoding="utf-8"), path.name).data
        for path in sorted((configs() / "families").glob("*.yaml"))
    ]


_FAMILIES: Final = _rows()


def families(dice: Random) -> None:
    """A file of families, and a config.json of one of them."""
    base: Any = dict(dice.choice(_FAMILIES))
    base.pop("also", None)
    given = _as_read(mutated(dice, base))
    with more_families(given if dice.random() < 0.8 else {"families": [given, _as_read(mutated(dice, base))]}):
        own = [one for one in _CONFIGS if one.get("model_type") == base["name"]]
        if own:
            config_spec(json.dumps(mutated(dice, dice.choice(own))), Path("config.json"), "config.json")


def hardware(dice: Random) -> None:
    """A file of hardware, or changes of what is shipped."""
    read_hardware(
        _as_read(mutated(dice, dice.choice(_HARDWARE))),
        "x.yaml",
        [f"{text(dice)}={number(dice)}"] if dice.random() < 0.1 else [],
    )


def law(dice: Random) -> None:
    """A file of a scaling law, asked for a loss."""
    with _file(
        "law.yaml", yaml_of(_as_read(mutated(dice, dice.choice(_LAWS)))).encode("utf-8", "surrogatepass")
    ) as name:
        law_from_yaml(name)
        if dice.random() < 0.2:
            tscale.loss("gpt2", tokens=dice.choice(["1e9", "1", "1e15"]), law=name)


_CLAIMED: Final[Any] = parse_document(_CLAIMS.decode(), "claims").data


def claims(dice: Random) -> None:
    """A file of claims."""
    few = {**_CLAIMED, "claims": dice.sample(_CLAIMED["claims"], 2)}
    with _file("claims.yaml", yaml_of(_as_read(mutated(dice, few))).encode("utf-8", "surrogatepass")) as name:
        if dice.random() < 0.5:
            read_claims(name)
        else:
            tscale.check(name)


def system(dice: Random) -> None:
    """A file of a system, read for each of the questions."""
    raw = yaml_of(_as_read(mutated(dice, dice.choice(_SYSTEMS)))).encode("utf-8", "surrogatepass")
    with _file("system.yaml", scratched(dice, raw) if dice.random() < 0.2 else raw) as name:
        ask = question(dice.choice(READ_BY)).ask
        ask.made(with_system(ask, {}, name))


# ---------------------------------------------------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------------------------------------------------

_RUNS: Final = csv_of(runs_of(BESIROGLU, 12, 0.01, 1)).splitlines()


def _table(dice: Random, lines: list[str], rows: int) -> bytes:
    """The head of a table and some of its rows, with some cells that are anything."""
    head, *rest = lines
    found = [head, *dice.sample(rest, min(rows, len(rest)))]
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(found)) if dice.random() < 0.1 else dice.randrange(1, len(found))
        cells = found[at].split(",")
        cells[dice.randrange(len(cells))] = (
            str(number(dice)) if dice.random() < 0.5 else dice.choice([text(dice), *_COUNTS])
        )
        found[at] = ",".join(cells)
    raw = "\n".join(found).encode("utf-8", "surrogatepass")
    return scratched(dice, raw) if dice.random() < 0.2 else raw


def runs(dice: Random) -> None:
    """Runs that a law is fitted to, read."""
    parse_runs(decoded(_table(dice, _RUNS, 12)), "runs.csv", experts=dice.random() < 0.2)


def fit(dice: Random) -> None:
    """Runs, fitted."""
    with _file("runs.csv", _table(dice, _RUNS, 12)) as name:
        tscale.fit(name, bootstraps=100)


def _measured(name: str) -> list[str]:
    return [
        line
        for line in (configs() / "measured" / name).read_text(encoding="utf-8").splitlines()
        if line and line[0] != "#"
    ]


_MEASURED: Final = [
    _measured(name) for name in ("vtrain.csv", "serving.csv", "training_memory.csv", "published_layouts.csv")
]


def measured(dice: Random) -> None:
    """A table of measured runs next to predictions."""
    with _file("runs.csv", _table(dice, dice.choice(_MEASURED), dice.choice([1, 1, 2, 4]))) as name:
        tscale.accuracy(name)


def calibration(dice: Random) -> None:
    """Runs that predictions of serving are calibrated to."""
    with _file("runs.csv", _table(dice, _MEASURED[1], dice.choice([1, 2, 4, 8]))) as name:
        tscale.calibrate(name)


# ---------------------------------------------------------------------------------------------------------------------
# The hub
# ---------------------------------------------------------------------------------------------------------------------


class _Answer(NamedTuple):
    """What a hub sends: a client's answer as far as it is read."""

    status_code: int
    headers: dict[str, str]
    body: bytes

    def iter_raw(self) -> Iterator[bytes]:
        """The body in chunks."""
        yield from (self.body[start : start + 999] for start in range(0, len(self.body), 999))


class _Session:
    """A client whose server makes its answers by dice."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    @contextmanager
    def stream(self, _: str, url: str, *, headers: dict[str, str], **__: Any) -> Iterator[_Answer]:
        """An answer that is whole and right, or not."""
        dice = self._dice
        start, stop = map(int, headers["range"].removeprefix("bytes=").split("-"))
        file = self._file(url.rpartition("/")[2])
        status = dice.choice([206] * 8 + [200, 404, 401, 403, 302, 416, 500, 0])
        said = {
            "content-range": f"bytes {start}-{min(stop, len(file) - 1)}/{len(file)}",
            "content-length": str(len(file)),
        }
        said = {
            key: told if dice.random() < 0.9 else dice.choice([text(dice), "bytes 0-1/2", "1", "-1", str(10**18)])
            for key, told in said.items()
        }
        if dice.random() < 0.1:
            said[dice.choice(["x-error-code", "content-encoding"])] = dice.choice(
                ["EntryNotFound", "RepoNotFound", "GatedRepo", "gzip", text(dice)]
            )
        body = file[start : stop + 1]
        yield _Answer(status, said, body if dice.random() < 0.9 else body[: dice.randrange(len(body) + 1)])

    def _file(self, name: str) -> bytes:
        dice = self._dice
        if name == "model.safetensors.index.json":
            raw = as_json(mutated(dice, {"weight_map": {f"t{n}": f"s{n % 2}.safetensors" for n in range(3)}}))
        elif name.endswith(".safetensors"):
            body = as_json(mutated(dice, {f"t{name[1:-12]}": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}))
            raw = struct.pack("<Q", len(body)) + body + bytes(4)
        else:
            raw = as_json(mutated(dice, dice.choice(_DESCRIPTIONS.get(name, _CONFIGS))))
        return scratched(dice, raw) if dice.random() < 0.2 else raw


def hub_answer(dice: Random) -> None:
    """What a hub answers to a command that wants a model, or its weights."""
    import huggingface_hub

    kept = huggingface_hub.get_session
    huggingface_hub.get_session = lambda: _Session(dice)  # type: ignore[assignment, return-value]
    try:
        if dice.random() < 0.5:
            name, found = hub.description("org/name")
            described_text(found, Path("org/name") / name, "org/name")
        else:
            hub.weights("org/name")
    finally:
        huggingface_hub.get_session = kept


# ---------------------------------------------------------------------------------------------------------------------
# Requests
# ---------------------------------------------------------------------------------------------------------------------

_ASKS: Final = {name: question(name).ask for name in NAMES}
_OPTIONS: Final = {name: ask.options() for name, ask in _ASKS.items()}
_WRITES: Final = ("output", "output_file", "save", "plot", "system", "families", "calibration", "rows")


def _given(dice: Random, key: str, option: Option, strange: float) -> Any:
    """A value for an option: a likely one, but for some."""
    if option.kind == "flag":
        return dice.choice([True, True, False]) if dice.random() > strange else value(dice)
    if dice.random() < strange:
        return dice.choice([dice.choice(_ABSURD), dice.choice(_COUNTS), text(dice), value(dice)])
    if option.choices:
        return dice.choice(option.choices)
    return dice.choice(_LIKELY.get(key, _SMALL))


def option(dice: Random) -> None:
    """One option of a question, given anything."""
    name = dice.choice(NAMES)
    key = dice.choice(list(_OPTIONS[name]))
    one = _OPTIONS[name][key]
    if one.kind not in ("model", "models"):
        one.of(_given(dice, key, one, 0.7), spelled(key))


def _options(dice: Random, name: str, most: int, strange: float) -> dict[str, Any]:
    known = {
        key: one
        for key, one in _OPTIONS[name].items()
        if key not in _WRITES and one.kind not in ("model", "models", "argument")
    }
    keys = dice.sample(sorted(known), min(len(known), dice.randrange(most + 1)))
    return {key: _given(dice, key, known[key], strange) for key in keys}


def request(dice: Random) -> None:
    """A request of any question, made but not answered."""
    name = dice.choice(NAMES)
    known = _OPTIONS[name]
    needed = [one.name for one in fields(_ASKS[name]) if one.metadata.get("required")]
    keys = [*needed, *dice.sample(sorted(known), dice.randrange(min(7, len(known))))]
    given = {
        key: "gpt2" if known[key].kind in ("model", "models") else _given(dice, key, known[key], 0.05) for key in keys
    }
    _ASKS[name].made({**_base(dice, name), **given}, explain=dice.random() < 0.2)


def _base(dice: Random, name: str) -> dict[str, Any]:
    """Options with which a question has an answer."""
    words = (word.removeprefix("--").partition("=") for word in dice.choice(_LINES.get(name, [[]])))
    return {key.replace("-", "_"): said or True for key, _, said in words}


_SIZED: Final = (
    "gpt2",
    "gpt3",
    "llama-3.1-8b",
    "t5-small",
    "bert-base",
    "mamba-2.8b",
    "deepseek-v3",
    "gpt-4",
    "mixtral-8x7b",
)


def _called(dice: Random, names: list[str]) -> None:
    name = dice.choice(names)
    kinds = {one.kind for one in _OPTIONS[name].values()}
    given: list[Any] = []
    if kinds & {"model", "models"}:
        way = dice.random()
        given = [
            dice.choice(_SIZED)
            if way < 0.7
            else dice.choice(_MODELS)
            if way < 0.8
            else mutated(dice, dice.choice(_BASES))
        ]
    options = {**_base(dice, name), **_options(dice, name, 5, 0.04)}
    json.dumps(getattr(tscale, name)(*given, **options).to_dict(), allow_nan=False)


_PLANNED: Final = ("plan",)
_OF_FILES: Final = ("accuracy", "calibrate", "fit", "verify", "check")
_QUICK: Final = [name for name in NAMES if name not in (*_PLANNED, *_OF_FILES)]


def call(dice: Random) -> None:
    """A call from Python of any question about models, with options that make sense but for some."""
    _called(dice, _QUICK)


def plan(dice: Random) -> None:
    """The same of `plan`, whose answers take longer."""
    _called(dice, list(_PLANNED))


def _words(dice: Random, name: str) -> list[str]:
    """A command line of a command: arguments and options, likely and not."""
    known = _COMMANDS[name]
    way = dice.random()
    line = [name, dice.choice(_SIZED) if way < 0.85 else dice.choice(_MODELS) if way < 0.97 else text(dice)]
    line += dice.choice(_LINES.get(name, [[]]))
    for one in dice.sample(sorted(known), min(len(known), dice.randrange(5))):
        words, key = known[one], one.removeprefix("--").replace("-", "_")
        if words == ():
            line.append(one)
        elif dice.random() < 0.95:
            likely = list(words or _LIKELY.get(key, _SMALL))
            line.append(
                f"{one}={dice.choice(likely) if dice.random() < 0.94 else dice.choice([text(dice), dice.choice(_ABSURD)])}"
            )
        else:
            line.append(one)
    return line


def _written(line: list[str], stdin: bytes = b"") -> None:
    done = ran(*line, stdin=stdin)
    lawful(tuple(line), done)


_SLOW: Final = ("plan", "sweep", "fit", "calibrate", "new", "import")


def command(dice: Random) -> None:
    """A command line of any command, and what it reads on standard input."""
    name = dice.choice([one for one in _COMMANDS if one not in _SLOW])
    stdin = dice.choice(_TEXTS) if dice.random() < 0.5 else scratched(dice, dice.choice(_TEXTS))
    line = _words(dice, name)
    if dice.random() < 0.1:
        line[dice.randrange(len(line))] = text(dice)
    if line[:1] != ["new"]:
        _written(plot_with_value(line), stdin)


def slow_command(dice: Random) -> None:
    """A command line of `plan`."""
    _written(_words(dice, "plan"))


def sweep(dice: Random) -> None:
    """A sweep over a few values, or over absurdly many."""
    name = dice.choice(["memory", "train", "serve", "flops", "params", "attention"])
    known = {
        key: one
        for key, one in _OPTIONS[name].items()
        if key not in _WRITES and one.kind not in ("model", "models", "flag")
    }
    line = ["sweep", name, dice.choice(_SIZED), *dice.choice(_LINES[name])]
    for key in dice.sample(sorted(known), dice.randrange(1, 3)):
        likely = list(known[key].choices or _LIKELY.get(key, _SMALL))
        several = dice.choice(_RANGES) if dice.random() < 0.3 else ",".join(dice.sample(likely, min(len(likely), 2)))
        line += ["--vary", f"{key}={several if dice.random() < 0.9 else text(dice)}"]
    target = dice.choice([[], [], ["-o", "rows.csv"], ["--format", "json"]])
    try:
        _written([*line, *target])
        before = Path("rows.csv").read_bytes() if Path("rows.csv").exists() else None
        if before is not None:
            _written([*line, *target])
            assert Path("rows.csv").read_bytes() == before, "rows that were whole were written again"
    finally:
        for path in Path().glob("rows.csv*"):
            path.unlink()


def file_written(dice: Random) -> None:
    """A command that writes: a new file is whole, and one that is there is left as it is unless that is asked for."""
    name = dice.choice(
        ["params", "memory", "train", "serve", "flops", "attention", "optimal", "design", "new", "import"]
    )
    there = dice.random() < 0.5
    target, old = dice.choice(["out.yaml", "out.txt", "out.svg", "out.html", "out.csv"]), b"mine\n"
    if there:
        Path(target).write_bytes(old)
    if name == "new":
        target = "out.yaml" if there and target == "out.yaml" else "fresh.yaml"
        line = ["new", target.removesuffix(".yaml")]
    elif name == "import":
        line = ["import", "-", "-o", target]
    else:
        line = [*_words(dice, name), dice.choice(["-o", "--save", "-o", "--plot"]), target]
    stdin = as_json(mutated(dice, dice.choice(_CONFIGS)))
    try:
        done = ran(*line, stdin=stdin)
        lawful(tuple(line), done)
        if there and "--force" not in line and Path(target).exists() and done.code == 0 and name != "new":
            assert Path(target).read_bytes() == old, "a file that was there was written over"
        if there and done.code in (1, 2):
            assert Path(target).read_bytes() == old or target == "fresh.yaml", "a file was lost to what was refused"
        left = {path.name for path in Path().iterdir()} - {
            "kept.yaml",
            target,
            "out.yaml",
            "out.txt",
            "out.svg",
            "out.html",
            "out.csv",
        }
        assert left <= {"fresh.yaml"}, f"wrote {left}"
        if not there and done.code in (1, 2):
            assert not Path(target).exists(), "what was refused left a file"
    finally:
        for path in list(Path().iterdir()):
            if path.name != "kept.yaml":
                path.unlink()


# ---------------------------------------------------------------------------------------------------------------------
# Small readers
# ---------------------------------------------------------------------------------------------------------------------

_PIECES: Final = [
    "a",
    "b",
    ".",
    "\\.",
    "\\d",
    "\\w",
    "[ab]",
    "[a-c]",
    "[^a]",
    "[",
    "]",
    "(",
    ")",
    "|",
    "*",
    "+",
    "?",
    "{2}",
    "^",
    "$",
    "(?=",
    "\\",
    "!",
]


def pattern(dice: Random) -> None:
    """A pattern over names of modules, in a bounded number of steps."""
    made = "".join(dice.choices(_PIECES, k=dice.choice([3, 6, 12, 200]))) if dice.random() < 0.8 else text(dice)
    machine = regex_machine(made) if dice.random() < 0.5 else glob_machine(made, below=dice.random() < 0.5)
    if machine is not None:
        with suppress(Overspent):
            machine.matches("".join(dice.choices("ab.1_", k=dice.choice([3, 20, 200]))), Budget(5_000))


_COMPLETIONS: Final[list[Callable[[str], list[str]]]] = [
    getattr(completion, name) for name in vars(completion) if name.endswith(("_names", "_fields")) and name[0] != "_"
]


def completed(dice: Random) -> None:
    """What is completed of a word that was begun."""
    begun = (
        text(dice)
        if dice.random() < 0.5
        else dice.choice(["attention.", "feed_forward.he", "head.x", "memory", "l", ""])
    )
    found = dice.choice(_COMPLETIONS)(begun)
    assert all(isinstance(name, str) for name in islice(found, 100))


KINDS: Final = {
    "safetensors": Kind(safetensors, 25),
    "shards": Kind(shards, 8),
    "gguf": Kind(gguf, 25),
    "gguf-model": Kind(gguf_model, 25),
    "json": Kind(json_text, 12),
    "yaml": Kind(yaml_text, 20),
    "config": Kind(config, 90),
    "description": Kind(description, 20),
    "spec": Kind(spec, 45),
    "families": Kind(families, 40),
    "hardware": Kind(hardware, 20),
    "law": Kind(law, 20),
    "claims": Kind(claims, 15),
    "system": Kind(system, 20),
    "runs": Kind(runs, 12),
    "fit": Kind(fit, 25),
    "measured": Kind(measured, 30),
    "calibration": Kind(calibration, 25),
    "hub": Kind(hub_answer, 40),
    "option": Kind(option, 15),
    "request": Kind(request, 30),
    "call": Kind(call, 80),
    "plan": Kind(plan, 35),
    "command": Kind(command, 80),
    "plan-command": Kind(slow_command, 20),
    "sweep": Kind(sweep, 30),
    "file": Kind(file_written, 40),
    "pattern": Kind(pattern, 8),
    "completion": Kind(completed, 4),
}
"""All of them, with their weights."""
