"""Which type each tensor of a GGUF file has: the mixtures that llama.cpp's quantiser makes, by the name of a file type.

A mixture has one type for most tensors, and others for those whose errors cost more: values, matrices down, outputs of
attention, the head. Where and by how much is a table here, first row first, as its tool decides it (ggml-org/llama.cpp
src/llama-quant.cpp, `llama_tensor_get_type`; matrices of queries, keys and values in one as in its releases up to 2025, which most
published files are of). Types of 1 to 3 bits that begin with iq are made with an importance matrix, all
others are counted as made without one.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

SOURCE: Final = "llamacpp2026 llama_tensor_get_type"

Tensor = Literal["embedding", "head", "q", "k", "v", "qkv", "o", "gate", "up", "down", "other"]
"""What a tensor is for, as far as a mixture tells tensors apart; qkv: queries, keys and values in one matrix."""

Where = Literal[
    "everywhere",
    "grouped keys",
    "grouped keys or experts",
    "more bits",
    "first two",
    "first four",
    "first sixteenth",
    "first eighth",
    "middle",
]
"""Of which of a kind of tensors a row of a table is. `grouped keys`: at least four query heads share a head of keys. `more bits`:
in the first and the last eighth of the layers and in every third one between them."""

Row = tuple[Where, str]


class Shape(NamedTuple):
    """What a mixture asks of a model: its layers, how many have values, query heads to a head of keys, routed experts of a layer."""

    layers: int
    values: int
    group: int
    experts: int


class Mix(NamedTuple):
    """A file type: the type of most tensors, that of the head, and rows for the others; the first row that is about a tensor decides.

    `experts`: the type of routed experts, where it is another.
    """

    base: str
    head: str = "q6_k"
    rows: Mapping[Tensor, tuple[Row, ...]] = {}
    eight: Mapping[Tensor, str] = {}
    """Of models with eight experts in a layer, in place of the rows."""
    experts: str | None = None

    @property
    def most(self) -> str:
        """The type that it is about: of routed experts, where they have their own."""
        return self.experts or self.base


def _all(type: str) -> tuple[Row, ...]:
    return (("everywhere", type),)


_EIGHT: Final[Mapping[Tensor, str]] = {"k": "q8_0", "v": "q8_0"}
_EIGHT_O: Final[Mapping[Tensor, str]] = {**_EIGHT, "o": "q5_k"}
_MORE: Final[tuple[Row, ...]] = (("more bits", "q6_k"),)


def _small(base: str, table: str, o: str | None, rest: str) -> Mix:
    """A mixture of two bits or fewer; `rest`: of values whose keys are not shared, and of the first matrices down."""
    rows: dict[Tensor, tuple[Row, ...]] = {
        "embedding": _all(table),
        "v": (("grouped keys or experts", "q4_k"), ("everywhere", rest)),
        "down": (("first eighth", rest),),
    }
    if o is not None:
        rows["o"] = _all(o)
    return Mix(base, "q5_k", rows, {"k": "q4_k", "o": "q5_k"})


MIXES: Final[Mapping[str, Mix]] = {
    "q4_0": Mix("q4_0", eight=_EIGHT),
    "q4_1": Mix("q4_1", eight=_EIGHT),
    "q5_0": Mix("q5_0", eight=_EIGHT),
    "q5_1": Mix("q5_1", eight=_EIGHT),
    "q8_0": Mix("q8_0", "q8_0", eight=_EIGHT),
    "q2_k": Mix(
        "q2_k",
        rows={"v": (("grouped keys", "q4_k"), ("everywhere", "q3_k")), "down": _all("q3_k"), "o": _all("q3_k")},
        eight=_EIGHT_O,
    ),
    "q2_k_s": Mix("q2_k", rows={"v": (("grouped keys", "q4_k"),), "down": (("first eighth", "q4_k"),)}, eight=_EIGHT),
    "q3_k_s": Mix("q3_k", eight=_EIGHT_O),
    "q3_k_m": Mix(
        "q3_k",
        rows={
            "v": (("first two", "q5_k"), ("everywhere", "q4_k")),
            "down": (("first sixteenth", "q5_k"), ("everywhere", "q4_k")),
            "o": _all("q4_k"),
            "qkv": _all("q4_k"),
        },
        eight=_EIGHT_O,
    ),
    "q3_k_l": Mix(
        "q3_k", rows={"v": _all("q5_k"), "down": _all("q5_k"), "o": _all("q5_k"), "qkv": _all("q4_k")}, eight=_EIGHT
    ),
    "q4_k_s": Mix("q4_k", rows={"v": (("first four", "q5_k"),), "down": (("first eighth", "q5_k"),)}, eight=_EIGHT_O),
    "q4_k_m": Mix("q4_k", rows={"v": _MORE, "down": _MORE, "qkv": _all("q5_k")}, eight=_EIGHT_O),
    "q5_k_s": Mix("q5_k", eight=_EIGHT),
    "q5_k_m": Mix("q5_k", rows={"v": _MORE, "down": _MORE, "qkv": _all("q6_k")}, eight=_EIGHT),
    "q6_k": Mix("q6_k", eight=_EIGHT),
    "iq4_nl": Mix(
        "iq4_nl", rows={"v": (("grouped keys", "q5_k"),), "down": (("first eighth", "q5_k"),)}, eight=_EIGHT_O
    ),
    "iq4_xs": Mix(
        "iq4_xs", rows={"v": (("grouped keys", "q5_k"),), "down": (("first eighth", "q5_k"),)}, eight=_EIGHT_O
    ),
    "iq3_xxs": Mix(
        "iq3_xxs",
        "q5_k",
        {
            "embedding": _all("iq3_s"),
            "v": (("grouped keys", "q4_k"),),
            "k": _all("iq2_s"),
            "q": _all("iq2_s"),
            "o": _all("iq3_s"),
        },
        _EIGHT_O,
    ),
    "iq3_xs": Mix(
        "iq3_s",
        rows={
            "v": (("grouped keys", "q4_k"),),
            "k": _all("iq3_xxs"),
            "q": _all("iq3_xxs"),
            "gate": (("middle", "iq3_xxs"),),
            "up": (("middle", "iq3_xxs"),),
        },
        eight=_EIGHT_O,
    ),
    "iq3_s": Mix("iq3_s", rows={"v": (("grouped keys", "q4_k"),)}, eight=_EIGHT_O),
    "iq3_m": Mix(
        "iq3_s",
        rows={"v": _all("q4_k"), "down": (("first eighth", "q4_k"),), "o": _all("q4_k"), "qkv": _all("q4_k")},
        eight=_EIGHT_O,
    ),
    "iq2_m": _small("iq2_s", "iq3_s", "iq3_s", "iq3_s"),
    "iq2_s": _small("iq2_xs", "iq3_s", "iq3_s", "iq3_s"),
    "iq2_xs": _small("iq2_xs", "q2_k", None, "q2_k"),
    "iq2_xxs": _small("iq2_xxs", "q2_k", None, "q2_k"),
    "iq1_m": _small("iq1_m", "q2_k", "iq2_xxs", "q2_k"),
    "iq1_s": _small("iq1_s", "q2_k", "iq2_xxs", "q2_k"),
    "mxfp4_moe": Mix("q8_0", "q8_0", experts="mxfp4"),
    "tq1_0": Mix("tq1_0", rows={"embedding": _all("q4_k")}, eight=_EIGHT),
    "tq2_0": Mix("tq2_0", rows={"embedding": _all("q4_k")}, eight=_EIGHT),
}
"""Every mixture by its name in lower case."""

_FALCON: Final[Mapping[str, Mapping[Tensor, tuple[Row, ...]]]] = {
    "q3_k_m": {"down": (("first sixteenth", "q5_k"), ("more bits", "q4_k"))},
    "q3_k_l": {"down": _all("q4_k"), "o": _all("q4_k")},
    "q4_k_s": {"down": ()},
    "q4_k_m": {"down": (("first sixteenth", "q6_k"), ("more bits", "q5_k"))},
}
"""Rows of Falcon's own."""


def of_falcon(name: str) -> Mix:
    """A mixture as Falcon has it: its head in 8 bits, outputs of attention in the type of most, and some matrices down in others.

    Of mixtures of two bits or fewer, outputs of attention are as others have them.
    """
    mix = MIXES[name]
    rows = {tensor: own for tensor, own in mix.rows.items() if tensor != "o" or _is_small(mix)}
    return mix._replace(head="q8_0", rows={**rows, **_FALCON.get(name, {})})


_SEVENTY: Final = 80
"""Layers of the models with grouped keys whose values get five bits where a mixture gives them three or four."""
_GROUPED: Final = 4


def type_of(mix: Mix, tensor: Tensor, place: int, shape: Shape) -> str:
    """The type of a tensor, the `place`-th of its kind from the first layer on, before its rows are held to the type's blocks."""
    if tensor == "head":
        return mix.head
    if shape.experts == 8 and (tensor in mix.eight or tensor == "o"):
        return mix.eight.get(tensor, mix.base)
    of = shape.values if tensor == "v" else shape.layers
    rows = mix.rows.get(tensor, ())
    found = next((type for where, type in rows if _is_there(where, place, of, shape)), mix.base)
    large = tensor == "v" and shape.layers == _SEVENTY and shape.group > 1
    return "q5_k" if large and found in ("q3_k", "q4_k") and not _is_small(mix) else found


def _is_small(mix: Mix) -> bool:
    """Whether values are decided by the rules of two bits, which know no large models."""
    return mix.base.startswith(("iq1", "iq2"))


def _is_there(where: Where, place: int, of: int, shape: Shape) -> bool:
    """Whether a row is about the tensor at a place of so many."""
    match where:
        case "everywhere":
            return True
        case "grouped keys":
            return shape.group >= _GROUPED
        case "grouped keys or experts":
            return shape.group >= _GROUPED or shape.experts >= _GROUPED
        case "more bits":
            return place < of // 8 or place >= 7 * of // 8 or (place - of // 8) % 3 == 2
        case "first two":
            return place < 2
        case "first four":
            return place < 4
        case "first sixteenth":
            return place < of // 16
        case "first eighth":
            return place < of // 8
        case "middle":
            return of // 8 <= place < 7 * of // 8
