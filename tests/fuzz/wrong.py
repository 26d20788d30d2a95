"""What hypothesis draws of words, numbers and values, and valid data and texts with a few things wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import MutableMapping, MutableSequence
from typing import Any, Final

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.any_text import any_text
from tscale.catalogue.models import built_in, names
from tscale.models.writing import plain

BASES: Final = [plain(built_in(name)) for name in names()]
"""The built-in models, as data."""
KEYS: Final = sorted(
    {key for base in BASES for key in base}
    | {key for base in BASES for value in base.values() if isinstance(value, dict) for key in value}
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
FRAGMENTS: Final = [
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

word: Final = st.one_of(
    st.sampled_from(FRAGMENTS),
    st.sampled_from(
        [*KEYS, "decoder", "encoder", "encoder-decoder", "rotary", "learned", "local", "global", "none", "masked"]
    ),
    any_text(8),
)
number: Final = st.one_of(
    st.sampled_from([0, 1, -1, 2, 3, 64, 10**6, 10**12, 10**12 + 1, 2**63, 2**64, 10**39, 10**45, 0.5, 1e-30, 1e300]),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0]),
    st.integers(-10, 5000),
    st.floats(),
)
value: Final[SearchStrategy[Any]] = st.recursive(
    st.one_of(st.none(), st.booleans(), number, word),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(KEYS), word), inner, max_size=3)
    ),
    max_leaves=6,
)


def places_in(data: Any) -> list[tuple[Any, Any]]:
    """Every container in some data with every key or index in it."""
    if isinstance(data, dict):
        own: list[tuple[Any, Any]] = [(data, key) for key in data]
    elif isinstance(data, list):
        own = [(data, index) for index in range(len(data))]
    else:
        return []
    return own + [place for container, key in list(own) for place in places_in(container[key])]


@st.composite
def mutated(draw: DrawFn, base: SearchStrategy[Any]) -> Any:
    """Valid data with a few things wrong: keys dropped, added or misspelt, values changed or exchanged."""
    data = copy.deepcopy(draw(base))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3, 5]))):
        places = places_in(data)
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["change", "change", "drop", "add", "misspell", "exchange", "near"])):
            case "change":
                container[key] = draw(value)
            case "drop":
                del container[key]
            case "add" if isinstance(container, MutableMapping):
                container[draw(st.one_of(st.sampled_from(KEYS), word))] = draw(value)
            case "add" if isinstance(container, MutableSequence):
                container.append(draw(value))
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


def as_yaml(data: Any) -> bytes:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text.encode("utf-8", "surrogatepass")


def as_json(data: Any) -> bytes:
    return json.dumps(data).encode()


@st.composite
def scratched(draw: DrawFn, texts: SearchStrategy[bytes]) -> bytes:
    """Text with pieces cut out, doubled, or put in."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 1, 2, 5, 40])))
        put = draw(
            st.one_of(
                word.map(lambda text: text.encode("utf-8", "surrogatepass")),
                st.binary(max_size=6),
                st.just(text[start:end] * 2),
            )
        )
        text = text[:start] + put + text[end:]
    return text
