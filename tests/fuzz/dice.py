"""Things that are wrong, made by dice: what hypothesis draws for `tests/fuzz/wrong.py`, some hundred times as fast, and never shrunk."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any, Final

from tests.fuzz.wrong import FRAGMENTS, KEYS, places_in

_NUMBERS: Final[list[float]] = [
    *(0, 1, -1, 2, 3, 64, 10**6, 10**12, 10**12 + 1, 2**31, 2**63, 2**64, 10**39, 10**45, 0.5, 1e-30, 1e300),
    *(float("nan"), float("inf"), float("-inf"), -0.0),
]
_WORDS: Final = ["decoder", "encoder", "encoder-decoder", "rotary", "learned", "local", "global", "none", "masked"]
_CHARACTERS: Final = "aZ09 .-_/\\'\"[]{}:,#*&!|>%@`~\t\n\r\x00\x1b\x7f\x85\u2028\ufeffé٣𝟗\ud800"


def text(dice: Random) -> str:
    """A word of the field, a piece of syntax, or any characters."""
    way = dice.random()
    if way < 0.4:
        return dice.choice(FRAGMENTS)
    if way < 0.7:
        return dice.choice(KEYS) if way < 0.6 else dice.choice(_WORDS)
    return "".join(dice.choices(_CHARACTERS, k=dice.randrange(9)))


def number(dice: Random) -> float:
    """A number of any size."""
    way = dice.random()
    if way < 0.5:
        return dice.choice(_NUMBERS)
    return dice.randrange(-10, 5000) if way < 0.8 else 10 ** dice.uniform(-38, 38)


def value(dice: Random, depth: int = 0) -> Any:
    """Any plain data."""
    way = dice.random()
    if way < 0.15:
        return dice.choice([None, True, False])
    if way < 0.55 or depth > 2:
        return number(dice)
    if way < 0.8:
        return text(dice)
    if way < 0.9:
        return [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {dice.choice(KEYS): value(dice, depth + 1) for _ in range(dice.randrange(3))}


def mutated(dice: Random, base: Any) -> Any:
    """Valid data with a few things wrong: keys dropped, added or misspelt, values changed or exchanged."""
    data = copy.deepcopy(base)
    for _ in range(dice.choice([0, 1, 1, 1, 2, 3, 5])):
        places = places_in(data)
        if not places:
            break
        container, key = dice.choice(places)
        dice.choice(_CHANGES)(dice, container, key, places)
    return data


def _change(dice: Random, container: Any, key: Any, places: Any) -> None:
    container[key] = value(dice)


def _drop(dice: Random, container: Any, key: Any, places: Any) -> None:
    del container[key]


def _add(dice: Random, container: Any, key: Any, places: Any) -> None:
    if isinstance(container, dict):
        container[dice.choice(KEYS) if dice.random() < 0.5 else text(dice)] = value(dice)
    else:
        container.append(value(dice))


def _misspell(dice: Random, container: Any, key: Any, places: Any) -> None:
    if isinstance(key, str):
        container[dice.choice([key[1:], key + "s", key[::-1], key.upper()])] = container.pop(key)


def _exchange(dice: Random, container: Any, key: Any, places: Any) -> None:
    other, its_key = dice.choice(places)
    container[key] = copy.deepcopy(other[its_key])


def _near(dice: Random, container: Any, key: Any, places: Any) -> None:
    now = container[key]
    if isinstance(now, int):
        container[key] = dice.choice([0, 1, now + 1, now * 2, -now, str(now), float(now), [now]])
    elif isinstance(now, str):
        container[key] = dice.choice([now[:-1], now.upper(), now * 2, f" {now}", [now], ""])


_CHANGES: Final = (_change, _change, _drop, _add, _misspell, _exchange, _near, _near)


def scratched(dice: Random, raw: bytes) -> bytes:
    """Bytes with pieces cut out, doubled, or put in."""
    for _ in range(dice.randrange(1, 5)):
        start = dice.randrange(len(raw) + 1)
        end = min(len(raw), start + dice.choice([0, 1, 2, 5, 40]))
        way = dice.random()
        if way < 0.4:
            put = text(dice).encode("utf-8", "surrogatepass")
        else:
            put = dice.randbytes(dice.randrange(7)) if way < 0.8 else raw[start:end] * 2
        raw = raw[:start] + put + raw[end:]
    return raw


def as_json(data: Any) -> bytes:
    """What such data is as JSON; a lone half of a character is written as its code."""
    return json.dumps(data).encode()


def decoded(raw: bytes) -> str:
    """Bytes as text, whatever they are."""
    return raw.decode("utf-8", "replace")
