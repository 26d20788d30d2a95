"""The reading of counts as people write them, and the largest that make sense."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from tscale.errors import RequestError

MOST_TOKENS: Final = 10**24  # past all the text there is: a slip of the keyboard, not a training run
MOST_CONTEXT: Final = 10**12
MOST_FLOPS: Final = 10**36
_COUNT: Final = r"(0|[1-9]\d*(?:_\d+)*)(?:\.(\d+))?(?:[eE]\+?(\d{1,3}))?\s?([kKMGBT]?)"  # compiled when first used
_POWER: Final = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "B": 3, "T": 4}


def parse_count(text: str, *, what: str, most: int, kilo: int = 1000) -> int:
    """The exact positive whole number that `text` spells: `300e9`, `1.5T`, `128k`, `4_096`.

    No number begins with a 0 that says nothing: 2,048 in a list would be 2 and 48. Suffixes are k, M, B (or G) and T in powers of `kilo`: 1000 for tokens, 1024 for context lengths, where model
    cards write 128k for 131,072. Raises `RequestError` for anything else, naming `what` was asked for.
    """
    wanted = f"{what} must be a whole number above 0, such as {_examples(most)}"
    match = re.fullmatch(_COUNT, text.strip(), re.ASCII)
    if not match:
        raise RequestError(f'{wanted}, not "{text[:40]}"')
    whole, fraction, exponent, suffix = match.groups(default="")
    if len(whole) + len(fraction) > 40 or int(exponent or 0) > 40:
        raise RequestError(f"{what} of {text[:40]} is too large (at most {_round(most)})")
    digits: int = int(whole.replace("_", "") + fraction) * 10 ** int(exponent or 0) * kilo ** _POWER[suffix]
    count, remainder = divmod(digits, int(10 ** len(fraction)))
    if remainder or count <= 0:
        raise RequestError(f'{wanted}, not "{text[:40]}"')
    if count > most:
        raise RequestError(f"{what} of {text[:40]} is too large (at most {_round(most)})")
    return count


def _examples(most: int) -> str:
    """Counts of the kind that is asked for, none of them too large."""
    if most > MOST_CONTEXT:
        return "2048, 4_096, 300e9, 128k or 1.5T"
    return "2048, 4_096, 1e6 or 128k" if most == MOST_CONTEXT else "1, 8 or 1024"


def _round(most: int) -> str:
    """A power of ten as people write it: 1e24, 10,000."""
    return f"{most:,}" if most < 10**6 else f"1e{len(str(most)) - 1}"


def parse_fraction(text: str, *, what: str, most: int, such_as: str = "2.5") -> Fraction:
    """The exact positive number that `text` spells: `2.5`, `.40`, `1e3`. Raises `RequestError` for anything else."""
    wanted = f"{what} must be a number above 0, such as {such_as}"
    if not re.fullmatch(r"(\d{1,20}(\.\d{1,20})?|\.\d{1,20})([eE][+-]?\d{1,2})?", text.strip(), re.ASCII):
        raise RequestError(f'{wanted}, not "{text[:40]}"')
    value = Fraction(text.strip())
    if value <= 0:
        raise RequestError(f'{wanted}, not "{text[:40]}"')
    if value > most:
        raise RequestError(f"{what} of {text[:40]} is too large (at most {most:,})")
    return value
