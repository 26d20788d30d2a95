"""What is read of text: JSON and YAML, descriptions of models, and files of what is shipped."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

import tscale
from tests.fuzz.dice import as_json, decoded, mutated, number, scratched, text
from tests.fuzz.files import hardware_as_read, laws_as_read
from tests.fuzz.kinds.given import CONFIGS, file_of
from tests.fuzz.requests import _DESCRIPTIONS, _SYSTEMS
from tests.fuzz.texts import CLAIMS, TEXTS
from tests.fuzz.wrong import BASES
from tscale.analysis.questions import question
from tscale.analysis.system import READ_BY, with_system
from tscale.catalogue.claims import read_claims
from tscale.catalogue.hardware import read_hardware
from tscale.catalogue.laws import law_from_yaml
from tscale.catalogue.models import configs
from tscale.importer.config_file import config_spec
from tscale.importer.families import more_families
from tscale.importer.json_file import parse_object
from tscale.models.lower import lower
from tscale.models.model_files import described_text
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.writing import plain, to_yaml, yaml_of
from tscale.models.yaml_file import Document, parse_document

_YAML_TEXTS: Final = [
    *TEXTS,
    *(path.read_bytes() for path in sorted(configs().glob("*/*.yaml")) if path.stat().st_size < 6000),
]


def json_text(dice: Random) -> None:
    """A JSON text with pieces of it cut out, doubled or put in."""
    parse_object(decoded(scratched(dice, as_json(dice.choice(CONFIGS)))), "x.json", what="a config.json")


def yaml_text(dice: Random) -> None:
    """A YAML file the same."""
    raw = dice.choice(_YAML_TEXTS)
    start = dice.randrange(len(raw))
    parse_document(decoded(scratched(dice, raw[start : start + dice.randrange(1, 600)])), "x.yaml")


def config(dice: Random) -> None:
    """A config.json of any family."""
    raw = as_json(mutated(dice, dice.choice(CONFIGS)))
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
    data = mutated(dice, dice.choice(BASES))
    found = validated(Document(_as_read(data), "x.yaml", {}, {}))
    if isinstance(found, ModelSpec) and dice.random() < 0.2:
        lower(found)
    if dice.random() < 0.03:
        assert validated(parse_document(to_yaml(found), "written")) == found


def _as_read(data: Any) -> Any:
    """Data as a file can hold it: with keys that are texts, and numbers that are numbers, whole ones to the last digit."""
    if isinstance(data, dict):
        return {str(key): _as_read(item) for key, item in data.items()}
    if isinstance(data, list):
        return [_as_read(item) for item in data]
    if isinstance(data, float):
        return None if not abs(data) < 1e300 else data if abs(data) < 2**53 else int(Decimal(repr(data)))
    return _CONTROL.sub("", data.encode("utf-8", "replace").decode()) if isinstance(data, str) else data


_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What no file has in a text."""


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
        own = [one for one in CONFIGS if one.get("model_type") == base["name"]]
        if own:
            config_spec(json.dumps(mutated(dice, dice.choice(own))), Path("config.json"), "config.json")


def hardware(dice: Random) -> None:
    """A file of hardware, or changes of what is shipped."""
    read_hardware(
        _as_read(mutated(dice, dice.choice(hardware_as_read()))),
        "x.yaml",
        [f"{text(dice)}={number(dice)}"] if dice.random() < 0.1 else [],
    )


def law(dice: Random) -> None:
    """A file of a scaling law, asked for a loss."""
    with file_of(
        "law.yaml", yaml_of(_as_read(mutated(dice, dice.choice(laws_as_read())))).encode("utf-8", "surrogatepass")
    ) as name:
        law_from_yaml(name)
        if dice.random() < 0.2:
            tscale.loss("gpt2", tokens=dice.choice(["1e9", "1", "1e15"]), law=name)


_CLAIMED: Final[Any] = parse_document(CLAIMS.decode(), "claims").data


def claims(dice: Random) -> None:
    """A file of claims."""
    few = {**_CLAIMED, "claims": dice.sample(_CLAIMED["claims"], 2)}
    with file_of("claims.yaml", yaml_of(_as_read(mutated(dice, few))).encode("utf-8", "surrogatepass")) as name:
        if dice.random() < 0.5:
            read_claims(name)
        else:
            tscale.check(name)


def system(dice: Random) -> None:
    """A file of a system, read for each of the questions."""
    raw = yaml_of(_as_read(mutated(dice, dice.choice(_SYSTEMS)))).encode("utf-8", "surrogatepass")
    with file_of("system.yaml", scratched(dice, raw) if dice.random() < 0.2 else raw) as name:
        ask = question(dice.choice(READ_BY)).ask
        ask.made(with_system(ask, {}, name))
