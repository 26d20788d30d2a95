"""The kinds of scaling law: the constants that each has, which of them are above 0, and the classes that compute them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from tscale.blocks.fields import Problem
from tscale.core.laws import Farseer, Kaplan, KaplanJoint, Precision
from tscale.core.laws.experts import ExpertsLaw, Granular, Joint, Leverage, Routed, Sparse
from tscale.core.laws.hyper import TERMS
from tscale.core.laws.vocabulary import Vocabulary
from tscale.errors import nearest, shown

PARAMETRIC: Final = ("E", "A", "B", "alpha", "beta")
Kind = Literal[
    "parametric",
    "power",
    "kaplan",
    "repeated",
    "lifetime",
    "kaplan-joint",
    "farseer",
    "precision",
    "bare",
    "joint-experts",
    "granular-experts",
    "sparse-experts",
    "routed-experts",
    "leverage",
    "hyper",
    "vocabulary",
]

CONSTANTS: Final[dict[str, tuple[str, ...]]] = {
    "parametric": PARAMETRIC,
    "lifetime": PARAMETRIC,
    "repeated": (*PARAMETRIC, "R_D", "R_N"),
    "power": ("coefficient", "exponent"),
    "kaplan": Kaplan._fields,
    "kaplan-joint": KaplanJoint._fields,
    "farseer": Farseer._fields,
    "precision": Precision._fields,
    "bare": (*PARAMETRIC, "omega"),
    "joint-experts": Joint._fields,
    "granular-experts": Granular._fields,
    "sparse-experts": Sparse._fields,
    "routed-experts": Routed._fields,
    "leverage": Leverage._fields,
    "hyper": TERMS,
    "vocabulary": Vocabulary._fields,
}
"""The constants of each kind of law; one of kind hyper has some of them."""
EXPERTS: Final[dict[str, type[ExpertsLaw | Leverage]]] = {
    "joint-experts": Joint,
    "granular-experts": Granular,
    "sparse-experts": Sparse,
    "routed-experts": Routed,
    "leverage": Leverage,
}
OWN: Final[dict[str, type[Kaplan | KaplanJoint | Farseer]]] = {
    "kaplan": Kaplan,
    "kaplan-joint": KaplanJoint,
    "farseer": Farseer,
}
"""Kinds whose class has the constants of the file and no others."""
_ABOVE_0: Final[dict[str, tuple[str, ...]]] = {
    "farseer": (),
    "joint-experts": ("a", "b", "c", "E_start", "E_max"),
    "sparse-experts": ("a", "b", "c", "d", "e"),
    "routed-experts": ("E_start", "E_max"),
    "leverage": ("A_start", "A_max"),
    "hyper": ("lr", "batch", "critical", "tau"),
}
"""Of kinds whose exponents carry the sign that their papers print, the constants that are above 0; of the others all are."""


def problems_of_constants(kind: Kind, constants: Mapping[str, float]) -> Iterator[Problem]:
    """Constants that a law of a kind does not have, those that it lacks, and those that cannot be."""
    wanted = CONSTANTS[kind]
    for name in constants:
        if name not in wanted:
            yield ("constants", name), f"unknown constant {shown(name)}: {nearest(name, wanted)}"
    for name, value in constants.items():
        if name in _ABOVE_0.get(kind, wanted) and value <= 0:
            path = ("constants", name, "value")
            yield path, f"constants.{name}.value must be a number above 0, not {value}"
    yield from _of_hyper(constants) if kind == "hyper" else _lacking(kind, constants)
    for first, last in (("E_start", "E_max"), ("A_start", "A_max")):
        if {first, last} <= constants.keys() and constants[first] >= constants[last]:
            yield ("constants", first), f"{first} is below {last}"
    if constants.get("exponent", 0) >= 1:
        yield ("constants", "exponent"), f"an exponent of the budget is below 1, not {constants['exponent']}"


def _lacking(kind: Kind, constants: Mapping[str, float]) -> Iterator[Problem]:
    wanted = CONSTANTS[kind]
    for name in wanted:
        if name not in constants:
            yield ("constants",), f'missing key "{name}" in constants: a {kind} law has {", ".join(wanted)}'


def _of_hyper(constants: Mapping[str, float]) -> Iterator[Problem]:
    """Powers without what they multiply: such a law has some of its constants alone."""
    for name in constants:
        term = name.partition("_")[0]
        if name in TERMS and term not in constants:
            yield ("constants", name), f"{name} is a power without its coefficient: add {term}"
