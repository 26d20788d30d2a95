"""How texts become the values of options: each reader takes a text and what it is of, and refuses in one line."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Final, TypeVar

from tscale.core.counts import MOST_CONTEXT, MOST_FLOPS, MOST_TOKENS, parse_count, parse_fraction
from tscale.errors import RequestError, shown

if TYPE_CHECKING:
    from tscale.core.costs.states import Offload
    from tscale.core.dtypes import Dtype
    from tscale.core.laws import Bits
    from tscale.core.recompute import Again
    from tscale.core.roles import Role

Value = TypeVar("Value")
Reader = Callable[[str, str], Value]
"""What makes a value of a text and of the name of its option; raises `RequestError`."""

MOST_CONTEXTS: Final = 100
MOST_PARAMETERS: Final = 10**18
MOST_BATCH: Final = 10**6
MOST_STAGES: Final = 1024


def context(text: str, what: str) -> int:
    """A length in tokens: 2048, 128k; k is 1024, as in model cards."""
    return parse_count(text, what=what, most=MOST_CONTEXT, kilo=1024)


def contexts(text: str, what: str) -> list[int]:
    """Lengths in tokens: 512,2k,8k."""
    parts = [part for part in text.split(",") if part.strip()]
    if not parts or len(parts) > MOST_CONTEXTS:
        raise RequestError(f"{what} takes 1 to {MOST_CONTEXTS} lengths separated by commas, such as 512,2k,8k")
    return [context(part, what) for part in parts]


def tokens(text: str, what: str) -> int:
    """A number of tokens: 300e9, 1.5T; k is 1000."""
    return parse_count(text, what=what, most=MOST_TOKENS)


def flops(text: str, what: str) -> int:
    """A number of FLOPs: 5.76e23."""
    return parse_count(text, what=what, most=MOST_FLOPS)


def parameters(text: str, what: str) -> int:
    """A number of parameters: 7e9, 7B."""
    return parse_count(text, what=what, most=MOST_PARAMETERS)


def devices(text: str, what: str) -> int:
    """A number of devices: 8, 1024, 16k (16,000)."""
    return parse_count(text, what=what, most=10**9)


def degree(text: str, what: str) -> int:
    """How many devices share something in one way, or how many things there are of one kind: 1, 8."""
    return parse_count(text, what=what, most=10**6)


def batch(text: str, what: str) -> int:
    """A number of sequences: 1, 2048."""
    return parse_count(text, what=what, most=MOST_BATCH)


def year(text: str, what: str) -> int:
    """A year: 2025."""
    if not (text.strip().isascii() and text.strip().isdigit() and len(text.strip()) == len("2025")):
        raise RequestError(f"{what} takes a year, such as 2024, not {shown(text)}")
    return int(text)


def size(text: str, what: str) -> int:
    """A width or a count: 3, 256, 1k (1024)."""
    return parse_count(text, what=what, most=10**12, kilo=1024)


def file(text: str, what: str) -> str:
    """The name of a file, which is not nothing, as a variable of a shell may be."""
    if not text.strip():
        raise RequestError(f"{what} needs the name of a file")
    return text


def zero_stage(text: str, what: str) -> int:
    """A stage of ZeRO: 0, 1, 2 or 3."""
    if text.strip() not in {"0", "1", "2", "3"}:
        raise RequestError(f"{what} is a stage of ZeRO, 0, 1, 2 or 3, not {shown(text)}")
    return int(text)


def weights_format(text: str, what: str) -> Dtype:
    """A format of weights: fp8, q4_k, int4-g64."""
    from tscale.core.dtypes import find_format

    return find_format(text, what=what)


def cache_format(text: str, what: str) -> Dtype:
    """A format that caches are kept in: fp8, q8_0."""
    from tscale.core.dtypes import find_format

    return find_format(text, what=what, cache=True)


def again(text: str, what: str) -> Again:
    """What the backward pass computes again, and in which layers."""
    from tscale.core.recompute import find_again

    del what
    return find_again(text)


def offload(text: str, what: str) -> frozenset[Offload]:
    """What the host keeps."""
    from tscale.core.costs.states import find_offload

    del what
    return find_offload(text)


def lora_targets(text: str, what: str) -> frozenset[Role] | None:
    """The matrices that have adapters; None for all of them."""
    from tscale.core.costs.states import find_targets

    del what
    return find_targets(text)


def bits(text: str, what: str) -> Bits:
    """Bits of weights, activations and KV cache: 8 of all three, or 4,8,16."""
    from tscale.core.laws import Bits

    parts = text.split(",")
    if len(parts) not in (1, len(Bits._fields)):
        raise RequestError(
            f"{what} takes one number of bits, or three, of weights, activations and KV cache: 8 or 4,8,16"
        )
    numbers = [float(parse_fraction(part, what=what, most=64, such_as="8")) for part in parts]
    return Bits(*(numbers * len(Bits._fields) if len(numbers) == 1 else numbers))


def stages(text: str, what: str) -> tuple[int, ...]:
    """The layers of each stage: 16,32."""
    parts = text.split(",")
    if len(parts) > MOST_STAGES:
        raise RequestError(f"{what} names {len(parts):,} stages: at most {MOST_STAGES:,}")
    return tuple(parse_count(part, what=what, most=10**6) for part in parts)


def number(most: int, such_as: str = "2.5") -> Reader[Fraction]:
    """Reads a number above 0, whole or not."""
    return lambda text, what: parse_fraction(text, what=what, most=most, such_as=such_as)


def share(of: str = "the peak") -> Reader[Fraction]:
    """Reads a share of 1, 0.4 or 40%; `of` what it is one, for whoever writes more than all of it."""
    return lambda text, what: share_of(text, what, of)


def share_of(text: str, what: str, of: str) -> Fraction:
    """A share of 1: 0.4 or 40%."""
    text = text.strip()
    value = parse_fraction(text.removesuffix("%"), what=what, most=10**6, such_as="0.4 or 40%")
    value = value / 100 if text.endswith("%") else value
    if value > 1:
        meant = f": write {text}% if per cent is meant" if not text.endswith("%") and 2 <= value <= 100 else ""
        raise RequestError(f"{what} is a share of {of}, at most 1, not {text[:40]}{meant}")
    return value
