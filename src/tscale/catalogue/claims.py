"""What a file of claims may say: who is said to have how much of what."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Final

from tscale.blocks.fields import Number
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.catalogue.shipped import read_as, shipped_names, shipped_or_file

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

    from tscale.models.yaml_file import Document


class Quoted:
    """Marks a number above 0 that may be written as people quote it: 175B, "175 billion", 60%, "96 layers", "3640 PF-days"."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        number = Number().__get_pydantic_core_schema__(source, handler)
        return core_schema.with_info_before_validator_function(_spelled, number)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        number: dict[str, Any] = handler(schema)
        return {"anyOf": [*number["anyOf"], {"type": "string", "pattern": r"^×?\d"}]}


_NUMBER: Final = (
    r"×? ?([1-9]\d{0,2}(?:,\d{3})+|0|[1-9]\d*(?:_\d+)*)(?:\.(\d+))?(?:(?:e| ?[×x*] ?10\^)\+?(\d{1,2}))?"
    r" ?(?:([kmgbt]|thousand|million|billion|trillion)\b)?(?![\d_.,])"
)
"""As `counts` reads them: no number begins with a 0 that says nothing."""
_SCALES: Final = {
    "": 0,
    "k": 1,
    "thousand": 1,
    "m": 2,
    "million": 2,
    "g": 3,
    "b": 3,
    "billion": 3,
    "t": 4,
    "trillion": 4,
}
_LONGEST: Final = 60  # characters of a number that anybody writes
_WANTED: Final = "must be a number above 0, such as 96, 300e9, 175B, 175 billion or 60%"
_PF_DAY: Final = 86_400 * 10**15
_UNITS: Final[tuple[tuple[str, str, Fraction | int], ...]] = (
    (r"", r"", 1),
    (r"%|per ?cent", r"share|tolerance", Fraction(1, 100)),
    (r"x|times", r"ratio", 1),
    (r"parameters?|params?", r"param", 1),
    (r"tokens?", r"tokens|context", 1),
    (r"layers?", r"layers", 1),
    (r"heads?", r"heads", 1),
    (r"flops?", r"flops", 1),
    (r"(sentence )?pairs|sentences", r"sentence.pairs", 1),
    (r"(pf|petaflop(/s)?).days?", r"pf.days", 1),
    (r"(pf|petaflop(/s)?).days?", r"training.flops", _PF_DAY),
    (r"bytes?( per token)?", r"kv|cache", 1),
    *((rf"{prefix}b( per token)?", r"kv|cache", 1000**power) for power, prefix in enumerate("kmg", 1)),
    *((rf"{prefix}ib( per token)?", r"kv|cache", 1024**power) for power, prefix in enumerate("kmg", 1)),
)
"""What may stand behind a number, of which quantities, and what it multiplies it by."""


def _spelled(value: object, info: Any) -> object:
    """The number that a text spells, of what its claim is about; any value but a text as it is, for the next in line to judge."""
    if not isinstance(value, str):
        return value
    about = _about(info.field_name, info.data)
    text = " ".join(value.split())  # pages put spaces that do not break before units
    match = re.match(_NUMBER, text, re.ASCII | re.IGNORECASE) if len(value) <= _LONGEST else None
    unit = None if match is None else _unit(text[match.end() :].strip(), about)
    if match is None or unit is None:
        from pydantic_core import PydanticCustomError

        raise PydanticCustomError("quoted", _WANTED)
    whole, decimals, exponent, scale = match.groups(default="")
    kilo = 1024 if "context" in about else 1000  # as on the command line: a context of 128k is 131,072 tokens
    digits = Fraction(int(re.sub("[,_]", "", whole) + decimals), 10 ** len(decimals)) * 10 ** int(exponent or 0)
    number = digits * kilo ** _SCALES[scale.lower()] * unit
    return number.numerator if number.denominator == 1 else float(number)


def _unit(text: str, about: str) -> Fraction | int | None:
    """What a unit behind a number multiplies it by; None where what the number is of has no such unit."""
    for unit, of, factor in _UNITS:
        if re.fullmatch(unit, text, re.IGNORECASE) and re.search(of, about, re.IGNORECASE):
            return factor
    return None


def _about(field: str, given: dict[str, Any]) -> str:
    """What a number is of: its quantity, a ratio, or the field that it stands in."""
    if field != "claimed":
        return field
    return "ratio" if given.get("relative_to") is not None else str(given.get("quantity", ""))


Quotable = Annotated[int | float, Quoted()]
"""A number above 0, or a text that spells one."""


@spec_dataclass
class Claim:
    """One claim: that `subject` has `claimed` of `quantity`; or that many times what `relative_to` has."""

    subject: str
    """The model that the claim is about: a built-in name, or a file."""
    quantity: str
    """What is claimed, by its key or by the name that tables print."""
    relative_to: str | None = None
    """The model that the ratio is to; absent where the value itself is claimed."""
    claimed: Quotable
    """The value that is claimed, a number or as people write it (175B, 60%, 96 layers); with relative_to, the ratio."""
    quote: str | None = None
    """The words of the claim, to print next to it."""
    tolerance: Quotable | None = None
    """How far off a claim may be and still hold, as a share of the right value: 0.01 is one percent."""


@spec_dataclass
class Claims:
    """Claims to audit, and where they were made."""

    title: str
    """The title of the audit."""
    source: str | None = None
    """Where the claims were made."""
    claims: tuple[Claim, ...]


def listed_claims() -> list[str]:
    """The names of the files of claims that are shipped."""
    return shipped_names("claims")


def read_claims(name: str) -> tuple[Claims, Document]:
    """The claims in a file, or in one that is shipped, by its name. Raises `TscaleError`."""
    document = shipped_or_file(name, "claims", "claims", "`tscale list claims` names those that are shipped")
    return read_as(Claims, document, {"claims": Claim}), document
