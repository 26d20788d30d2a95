"""The public functions: right for every kind of model, and whatever is wrong is refused with one clear line."""

from __future__ import annotations

import doctest
import math
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tscale
from tests.helpers import disclosed, of_each, run
from tscale import counting as api
from tscale.blocks import Attention
from tscale.core.costs import cache, training
from tscale.core.tracing import TracedInt
from tscale.core.workload import SequenceLengths as CoreRun
from tscale.models import lower as lowering
from tscale.models.spec import Embedding
from tscale.models.validation import validated
from tscale.models.yaml_file import parse_document

GPT2 = tscale.load("gpt2")
BERT = tscale.load("bert-base")
T5 = tscale.load("t5-small")
WHISPER = tscale.load("whisper-tiny")
LEDGER = tscale.lower(GPT2)
RUN = tscale.SequenceLengths(target=1024)
ANY: Any = tscale
"""The package for a caller without a type checker."""


# ---------------------------------------------------------------------------------------------------------------------
# Right
# ---------------------------------------------------------------------------------------------------------------------


def test_an_encoders_flops_are_those_of_its_tokens() -> None:
    """12 layers of four projections, two matrices and two products of attention; a pooler on the first position."""
    s, d = 512, 768
    layer = 2 * s * (4 * d * d + 2 * d * 4 * d) + 4 * s * s * d
    run = tscale.run_of(BERT, s)
    assert tscale.forward_flops(BERT, run).total == 12 * layer + 2 * d * d
    assert tscale.training_flops(BERT, run, tokens=s) == 3 * (12 * layer + 2 * d * d)


def test_an_encoder_decoders_flops_are_those_of_both_streams() -> None:
    """The decoder's cross attention projects keys and values of the source; the head reads the target."""
    s, d, d_ff, vocabulary = 512, 512, 2048, 32128
    encoder = 2 * s * (4 * d * d + 2 * d * d_ff) + 4 * s * s * d
    decoder = 2 * s * (8 * d * d + 2 * d * d_ff) + 2 * 4 * s * s * d
    forward_flops = 6 * (encoder + decoder) + 2 * s * d * vocabulary
    assert tscale.training_flops(T5, tscale.run_of(T5, s), tokens=2 * s) == 3 * forward_flops


@of_each(disclosed())
def test_the_documented_pattern_is_what_the_commands_count(name: str) -> None:
    spec = tscale.load(name)
    ledger, run = lowering.lower(spec), lowering.run_of(spec, 300)
    asked = tscale.run_of(spec, 300)
    assert asked == run
    assert tscale.training_flops(spec, asked, 10**9, "causal") == training.training_flops(ledger, run, 10**9, "causal")
    assert tscale.cache_bytes(tscale.lower(spec), asked, 16) == cache.cache_bytes(ledger, run, 16)


def test_the_examples_run() -> None:
    assert doctest.testmod(api) == (0, 12)


def test_numbers_of_each_kind_are_taken() -> None:
    lengths = tscale.SequenceLengths(target=np.array([512, 1024]))  # type: ignore[arg-type]
    by_array = tscale.training_flops(GPT2, lengths, np.array([10**12, 10**12]))  # type: ignore[arg-type]
    by_int = [tscale.training_flops(GPT2, tscale.SequenceLengths(target=length), 10**12) for length in (512, 1024)]
    assert list(by_array) == pytest.approx(by_int, rel=1e-12)  # type: ignore[call-overload]
    assert tscale.training_flops(GPT2, RUN, np.int64(10**12)) == by_int[1]  # type: ignore[arg-type]
    assert tscale.training_flops(GPT2, RUN, 1e12) == by_int[1]  # type: ignore[arg-type]
    told = tscale.training_flops(tscale.traced(GPT2), RUN, TracedInt(10**12, label="tokens"))
    assert isinstance(told, TracedInt) and told == by_int[1]


def test_a_spec_of_arrays_is_counted_as_its_elements_are() -> None:
    """Whole numbers of 64 bits would overflow where FLOPs are counted: they are made floats."""
    layers = np.array([12, 24, 48])
    sweep = replace(GPT2, layers=layers)  # type: ignore[arg-type]
    total: Any = tscale.training_flops(sweep, RUN, 10**13)
    each = [tscale.training_flops(replace(GPT2, layers=int(depth)), RUN, 10**13) for depth in layers]
    assert list(total) == pytest.approx(each, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16", "uint32", "int64"])
def test_arrays_of_every_precision_are_counted_in_float64(dtype: str) -> None:
    """In float16, 96 layers of this width come to infinity; in float32, to seven digits."""
    layers = np.array([12, 48], dtype=dtype)
    totals: Any = tscale.params(replace(GPT2, layers=layers)).total  # type: ignore[arg-type]
    assert totals.dtype == np.float64
    assert list(totals) == [tscale.params(replace(GPT2, layers=depth)).total for depth in (12, 48)]
    run = tscale.SequenceLengths(target=np.array([512, 1024], dtype=dtype))  # type: ignore[arg-type]
    flops: Any = tscale.forward_flops(GPT2, run).total
    assert list(flops) == [
        tscale.forward_flops(GPT2, tscale.SequenceLengths(target=length)).total for length in (512, 1024)
    ]


def test_pages_and_windows_are_taken_as_arrays_by_ints_that_remember() -> None:
    traced = tscale.traced(tscale.load("mistral-7b"))
    lengths: Any = np.array([100, 5000])
    asked = tscale.cache_bytes(traced, tscale.SequenceLengths(target=lengths), 16, 16).total
    each = [tscale.cache_bytes(traced, tscale.SequenceLengths(target=int(one)), 16, 16).total for one in lengths]
    assert list(asked) == each  # type: ignore[call-overload]


def test_a_list_of_blocks_is_as_good_as_a_tuple() -> None:
    listed = replace(GPT2, attention=[GPT2.attention])  # type: ignore[arg-type]
    assert tscale.params(listed) == tscale.params(GPT2)


def test_a_cache_may_be_asked_for_by_the_name_of_its_format() -> None:
    assert tscale.cache_bytes(GPT2, RUN, "bf16") == tscale.cache_bytes(GPT2, RUN, 16)
    assert tscale.cache_bytes(GPT2, RUN, "q4_0") == tscale.cache_bytes(GPT2, RUN, 4.5)  # type: ignore[arg-type]


def test_a_spec_changed_after_it_was_checked_is_checked_again() -> None:
    right = tscale.lower(replace(GPT2, layers=13))
    assert right.model == "gpt2"
    with pytest.raises(tscale.TscaleError):
        tscale.lower(replace(GPT2, layers=0))


def test_a_spec_of_the_catalogue_is_not_validated_again() -> None:
    code = "import sys, tscale; tscale.params(tscale.remembered(tscale.load('gpt3'))); print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---------------------------------------------------------------------------------------------------------------------
# Refused
# ---------------------------------------------------------------------------------------------------------------------

NO_COUNTS: list[Any] = [1.5, -1, math.nan, math.inf, True, np.bool_(True), None, "512", [512], Fraction(512), 10**30]
NO_COUNTS += [np.array([5.5]), np.array([1, -1]), np.array([np.nan]), np.array([True]), np.array(["a"]), Decimal(5)]
COUNTS: dict[str, Callable[[Any], object]] = {
    "target": lambda value: tscale.SequenceLengths(target=value),
    "source": lambda value: tscale.SequenceLengths(target=5, source=value),
    "context": lambda value: tscale.run_of(GPT2, value),
    "tokens": lambda value: tscale.training_flops(LEDGER, RUN, value),
}


@of_each(product(COUNTS, NO_COUNTS))
def test_what_is_no_number_of_tokens_is_refused(case: tuple[str, Any]) -> None:
    what, value = case
    with pytest.raises(tscale.TscaleError) as caught:
        COUNTS[what](value)
    least, most = 0 if what in ("target", "source") else 1, 24 if what == "tokens" else 12
    assert str(caught.value).startswith(f"{what} must be a whole number from {least} to 10^{most}, not ")


class NoNumber:
    """What says that it is a whole number, and is none."""

    def __index__(self) -> int:
        raise ValueError("none")


MISFITS: list[tuple[Callable[[], object], str]] = [
    (
        lambda: tscale.SequenceLengths(target=ANY_ARRAY([])),
        "target must be a whole number from 0 to 10^12, not an empty array",
    ),
    (
        lambda: tscale.SequenceLengths(target=ANY_ARRAY([1 + 2j])),
        "target must be a whole number from 0 to 10^12, not an array of complex128",
    ),
    (
        lambda: tscale.SequenceLengths(target=ANY_ARRAY(["2020-01-01"], dtype="datetime64[D]")),
        "target must be a whole number from 0 to 10^12, not an array of datetime64[D]",
    ),
    (
        lambda: ANY.SequenceLengths(target=np.ma.array([1, 2], mask=[False, True])),
        "target must be a whole number from 0 to 10^12, not a masked array",
    ),
    (lambda: ANY.SequenceLengths(target=int), "target must be a whole number from 0 to 10^12, not a type"),
    (lambda: ANY.SequenceLengths(target=np.ndarray), "target must be a whole number from 0 to 10^12, not a type"),
    (lambda: ANY.SequenceLengths(target=NoNumber()), "target must be a whole number from 0 to 10^12, not a NoNumber"),
    (
        lambda: tscale.SequenceLengths(target=ANY_ARRAY([1, 2, 3]), source=ANY_ARRAY([1, 2])),
        "arrays of one shape are wanted, not target of shape (3,) and source of shape (2,)",
    ),
    (
        lambda: tscale.training_flops(GPT2, tscale.SequenceLengths(target=ANY_ARRAY([1, 2, 3])), ANY_ARRAY([1, 2])),
        "arrays of one shape are wanted, not run of shape (3,) and tokens of shape (2,)",
    ),
    (
        lambda: tscale.cache_bytes(GPT2, tscale.SequenceLengths(target=ANY_ARRAY([1, 2, 3])), 16, ANY_ARRAY([16, 32])),
        "arrays of one shape are wanted, not run of shape (3,) and page of shape (2,)",
    ),
    (
        lambda: tscale.forward_flops(
            replace(GPT2, layers=ANY_ARRAY([1, 2, 3])), tscale.SequenceLengths(target=ANY_ARRAY([1, 2]))
        ),
        "arrays of one shape are wanted, not run of shape (2,) and sizes of shape (3,)",
    ),
    (lambda: ANY.load("gpt2", np.array(5)), "changes are texts KEY=VALUE, such as layers=24, not an array"),
]


def ANY_ARRAY(values: Any, **options: Any) -> Any:  # noqa: N802 (beside ANY)
    """An array for a caller without a type checker."""
    return np.array(values, **options)


@pytest.mark.parametrize(("ask", "said"), MISFITS, ids=[said for _, said in MISFITS])
def test_what_is_no_array_of_numbers_or_fits_no_other_is_refused(ask: Callable[[], object], said: str) -> None:
    with pytest.raises(tscale.TscaleError) as caught:
        ask()
    assert str(caught.value) == said


def test_a_run_that_went_round_its_constructor_is_refused_where_it_is_used() -> None:
    with pytest.raises(tscale.TscaleError, match=r"^target must be a whole number from 0 to 10\^12, not -5$"):
        ANY.forward_flops(LEDGER, CoreRun(-5))


NO_LEDGERS: list[Any] = [None, "gpt2", 5, RUN, tscale.params(LEDGER)]
ASKING: dict[str, Callable[[Any], object]] = {
    "params": api.params,
    "active_params": tscale.active_params,
    "non_embedding_params": tscale.non_embedding_params,
    "cache_bytes": lambda ledger: tscale.cache_bytes(ledger, RUN, 16),
    "forward_flops": lambda ledger: tscale.forward_flops(ledger, RUN),
    "training_flops": lambda ledger: tscale.training_flops(ledger, RUN, 10**9),
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
@pytest.mark.parametrize("given", NO_LEDGERS, ids=lambda given: type(given).__name__)
def test_what_is_no_ledger_is_refused(ask: Callable[[Any], object], given: Any) -> None:
    with pytest.raises(tscale.TscaleError, match=r"^a Ledger must be given, such as tscale\.lower"):
        ask(given)


@pytest.mark.parametrize("ask", [tscale.lower, tscale.traced, lambda given: tscale.run_of(given, 512)])
@pytest.mark.parametrize("given", [None, "gpt2", 5, RUN, LEDGER], ids=lambda given: type(given).__name__)
def test_what_is_no_spec_is_refused(ask: Callable[[Any], object], given: Any) -> None:
    with pytest.raises(tscale.TscaleError, match=r"^(a ModelSpec must be given|lower takes a ModelSpec), "):
        ask(given)


REFUSED: list[tuple[Callable[[], object], str]] = [
    (
        lambda: tscale.forward_flops(LEDGER, tscale.SequenceLengths(target=8, images=5)),
        "no layer of gpt2 attends to images, of which this run has some: leave images at 0",
    ),
    (
        lambda: tscale.SequenceLengths(target=0),
        "a SequenceLengths has tokens: give target, or source for an encoder, or both",
    ),
    (
        lambda: tscale.training_flops(BERT, tscale.SequenceLengths(target=512), 10**9),
        "bert-base reads source tokens alone: give tscale.run_of(spec, 512), or SequenceLengths(target=0, source=512)",
    ),
    (
        lambda: tscale.forward_flops(BERT, tscale.SequenceLengths(target=512, source=512)),
        "bert-base reads source tokens alone: give tscale.run_of(spec, 512), or SequenceLengths(target=0, source=512)",
    ),
    (
        lambda: tscale.training_flops(T5, tscale.SequenceLengths(target=512), 10**9),
        "t5-small reads source and target tokens: give tscale.run_of(spec, 512), or SequenceLengths(target=512, source=512)",
    ),
    (
        lambda: tscale.cache_bytes(T5, tscale.SequenceLengths(target=512), 16),
        "t5-small reads source and target tokens: give tscale.run_of(spec, 512), or SequenceLengths(target=512, source=512)",
    ),
    (
        lambda: tscale.training_flops(GPT2, tscale.SequenceLengths(target=512, source=512), 10**9),
        "gpt2 reads target tokens alone: give tscale.run_of(spec, 512), or SequenceLengths(target=512, source=0)",
    ),
    (
        lambda: tscale.forward_flops(WHISPER, tscale.SequenceLengths(target=448, source=448)),
        "whisper-tiny always reads 1500 source positions, not 448: give tscale.run_of(spec, 448)",
    ),
    (
        lambda: tscale.run_of(WHISPER, 448, source=448),
        "whisper-tiny always reads 1500 audio frames: leave out source",
    ),
    (
        lambda: tscale.run_of(GPT2, 512, source=512),
        "gpt2 has a single stack: leave out source, context is its length",
    ),
    (
        lambda: ANY.forward_flops(LEDGER, 1024),
        "a SequenceLengths must be given, such as tscale.run_of(spec, 2048), not 1024",
    ),
    (
        lambda: ANY.forward_flops(LEDGER, RUN, "casual"),
        'sight must be full or causal, not "casual": did you mean causal?',
    ),
    (lambda: ANY.training_flops(LEDGER, RUN, 10**9, None), "sight must be full or causal, not None"),
    (lambda: tscale.cache_bytes(LEDGER, RUN, "bf61"), 'bits: no number format "bf61": did you mean bf16?'),
    (
        lambda: tscale.cache_bytes(tscale.load("gpt3", ["attention.head_dim=100"]), RUN, "q8_0"),
        "q8_0 shares a scale among 32 numbers, and attention.cache of gpt3 keeps rows of 100: keep the cache in a format "
        "without blocks, such as fp8 or bf16",
    ),
    (
        lambda: ANY.cache_bytes(LEDGER, RUN, True),
        "bits must be a number above 0 of at most 64, or a format such as bf16, not True",
    ),
    (
        lambda: ANY.cache_bytes(LEDGER, RUN, math.nan),
        "bits must be a number above 0 of at most 64, or a format such as bf16, not nan",
    ),
    (
        lambda: tscale.cache_bytes(LEDGER, RUN, -16),
        "bits must be a number above 0 of at most 64, or a format such as bf16, not -16",
    ),
    (lambda: tscale.cache_bytes(LEDGER, RUN, 16, 0), "page must be a whole number from 1 to 10^12, not 0"),
    (lambda: ANY.load(5), "model must be a name or a path, such as gpt3, not 5"),
    (lambda: ANY.load("gpt2", [5]), "changes are texts KEY=VALUE, such as layers=24, not 5"),
    (lambda: ANY.load("gpt2", 5), "changes are texts KEY=VALUE, such as layers=24, not 5"),
    (lambda: ANY.load("x.json", (), 5), "assume must be the name of a family, such as llama, not 5"),
    (
        lambda: tscale.params(tscale.Ledger.of("none", ())),
        "a Ledger has entries, as tscale.lower makes them: this has none",
    ),
    (
        lambda: ANY.params(tscale.Ledger.of("odd", (5,))),  # type: ignore[arg-type]
        "a Ledger has entries, as tscale.lower makes them: this has 5",
    ),
    (
        lambda: ANY.params(tscale.Ledger("odd", (*tscale.lower(GPT2).groups, 5))),  # type: ignore[arg-type]
        "a Ledger has groups of entries, as tscale.lower makes them: tscale.Ledger.of(model, entries) makes one of entries",
    ),
    (
        lambda: ANY.params(tscale.Ledger("odd", (5,))),  # type: ignore[arg-type]
        "a Ledger has groups of entries, as tscale.lower makes them: tscale.Ledger.of(model, entries) makes one of entries",
    ),
    (
        lambda: tscale.traced(replace(GPT2, layers=np.array([12]))),  # type: ignore[arg-type]
        "gpt2 has arrays as sizes, and only ints can be traced: give it one number for each",
    ),
]


@pytest.mark.parametrize("ask, said", REFUSED)
def test_what_is_refused_is_told_in_one_line(ask: Callable[[], object], said: str) -> None:
    with pytest.raises(tscale.TscaleError) as caught:
        ask()
    assert str(caught.value) == said


SEVEN = "gpt2: attention.heads: 7 heads do not divide d_model 768: set head_dim, or heads to a divisor of 768"
WRONG_SPECS: list[tuple[dict[str, Any], str]] = [
    ({"attention": Attention(heads=7)}, SEVEN),
    ({"attention": Attention(heads=np.array([12, 7]))}, SEVEN),  # type: ignore[arg-type]
    ({"layers": -1}, "gpt2: layers must be a whole number from 1 to 10^12, not -1"),
    ({"layers": True}, "gpt2: layers must be a whole number from 1 to 10^12, not true"),
    ({"layers": math.nan}, "gpt2: layers must be a whole number from 1 to 10^12, not nan"),
    ({"layers": np.array([12, 1.5])}, "gpt2: layers must be a whole number from 1 to 10^12, not 1.5"),
    ({"layers": np.array([12, 0])}, "gpt2: layers must be a whole number from 1 to 10^12, not 0"),
    ({"layers": 10**5000}, "gpt2: a spec holds numbers, text and blocks, not a number of over 40 digits"),
    ({"published": {(1, 2): 3}}, "gpt2: a spec holds numbers, text and blocks, not a tuple"),
    ({"layers": object()}, "gpt2: a spec holds numbers, text and blocks, not an object"),
    (
        {"layers": np.array([1, 2]), "d_model": np.array([768, 768, 768])},
        "gpt2: its arrays of sizes do not fit together: give them one shape",
    ),
    ({"kind": "encodr"}, 'gpt2: kind must be decoder, encoder or encoder-decoder, not "encodr": did you mean encoder?'),
    ({"attention": {"heads": 12}}, "gpt2: attention must be an Attention of tscale.blocks, not a dict"),
    ({"head": Embedding()}, "gpt2: head must be a Head of tscale.blocks, not an Embedding"),
    ({"name": None, "layers": 0}, "a ModelSpec: name must be text, not null (and 1 more)"),
]


@pytest.mark.parametrize("changes, said", WRONG_SPECS)
def test_a_spec_made_in_python_is_validated_as_a_file_is(changes: dict[str, Any], said: str) -> None:
    spec = replace(GPT2, **changes)
    for ask in (tscale.lower, tscale.params, tscale.traced, lambda spec: tscale.run_of(spec, 512)):
        with pytest.raises(tscale.TscaleError) as caught:
            ask(spec)
        assert str(caught.value) == said


ATTENTION: Any = GPT2.attention
NO_SIZES: list[tuple[dict[str, Any], str]] = [
    ({"layers": np.array([])}, "layers: an array of sizes holds whole numbers, this is an empty array"),
    ({"layers": np.array([True])}, "layers: an array of sizes holds whole numbers, this is an array of bool"),
    ({"d_model": np.array(["a"])}, "d_model: an array of sizes holds whole numbers, this is an array of <U1"),
    ({"d_model": np.array([1 + 2j])}, "d_model: an array of sizes holds whole numbers, this is an array of complex128"),
    ({"d_model": np.array([None])}, "d_model: an array of sizes holds whole numbers, this is an array of object"),
    (
        {"layers": np.array([(1, 2)], dtype=[("a", int), ("b", int)])},
        "layers: an array of sizes holds whole numbers, this is an array of [('a', '<i8'), ('b', '<i8')]",
    ),
    ({"layers": np.array([96.5])}, "layers must be a whole number from 1 to 10^12, not 96.5"),
    ({"layers": np.array([np.nan])}, "layers must be a whole number from 1 to 10^12, not nan"),
    ({"tied": np.array([True])}, "tied is no size, and only sizes may be arrays"),
    ({"kind": np.array(["decoder"])}, "kind is no size, and only sizes may be arrays"),
    ({"attention": np.array([1])}, "attention is no size, and only sizes may be arrays"),
    (
        {"attention": replace(ATTENTION, bias=np.array([1]))},
        "attention.bias is no size, and only sizes may be arrays",
    ),
    ({"notes": (np.array([1]),)}, "notes is no size, and only sizes may be arrays"),
    ({"layers": NoNumber()}, "a spec holds numbers, text and blocks, not a NoNumber"),
    ({"layers": int}, "a spec holds numbers, text and blocks, not a type"),
    ({"notes": np.float64(5)}, "notes must be a list, not 5.0"),
]


@pytest.mark.parametrize(("changes", "said"), NO_SIZES, ids=[said for _, said in NO_SIZES])
def test_an_array_of_what_is_no_size_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(tscale.TscaleError) as caught:
        tscale.params(replace(GPT2, **changes))
    assert str(caught.value) == f"gpt2: {said}"


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "bad").glob("*-do-not-divide.yaml")), ids=str)
def test_the_words_are_those_of_a_files_validation(path: Path) -> None:
    """What contradicts itself in a file does so in a spec that is built of the same sizes."""
    text = path.read_text(encoding="utf-8")
    with pytest.raises(tscale.TscaleError) as of_file:
        validated(parse_document(text, "file"))
    data: Any = parse_document(text, "file").data
    sizes = {key: data[key] for key in ("layers", "d_model", "vocabulary", "context")}
    with pytest.raises(tscale.TscaleError) as of_spec:
        tscale.lower(replace(GPT2, name="file", training=None, **sizes, attention=Attention(**data["attention"])))
    assert str(of_file.value).partition(": ")[2] == str(of_spec.value).partition(": ")[2]


# ---------------------------------------------------------------------------------------------------------------------
# What is offered, and what is said of it
# ---------------------------------------------------------------------------------------------------------------------


def test_completion_offers_the_public_names_and_the_version() -> None:
    """And so does `dir`, in a process where nothing else of the package was asked for."""
    code = (
        "import rlcompleter, tscale; ask = rlcompleter.Completer({'tscale': tscale}).complete\n"
        "found = []\n"
        "while (name := ask('tscale.', len(found))): found.append(name.removeprefix('tscale.').rstrip('()'))\n"
        "print(sorted(dir(tscale)) == sorted([*tscale.__all__, '__version__']), sorted(found) == sorted(tscale.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


def test_the_version_is_that_of_the_package() -> None:
    assert tscale.__version__ == version("tscale")
    assert run("--version").out == f"tscale {tscale.__version__}\n"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (
            ("gpt-4",),
            "GPT-4: its shape was never published, so it cannot be counted: `tscale params gpt-4` shows what is known",
        ),
        (("gtp3",), 'no model "gtp3": did you mean gpt3?'),
        (("gpt3", ["layerz=3"]), 'changes: unknown key "layerz": did you mean layers?'),
        (("gpt3", ["layers=x"]), 'changes layers=x: layers must be a whole number from 1 to 10^12, not "x"'),
        (("gpt3", "layers"), 'changes: write KEY=VALUE, such as layers=24 or attention.kv_heads=8, not "layers"'),
        (
            ("gpt3", ["bias=true"]),
            "changes bias: which one? attention.bias or feed_forward.bias or norm.bias or head.bias",
        ),
        (("gpt3", [], "llama"), "assume is about a config.json, and gpt3 is a built-in model: drop it"),
    ],
)
def test_load_speaks_of_its_arguments(arguments: tuple[Any, ...], said: str) -> None:
    """And not of the options of a command, which it does not have."""
    with pytest.raises(tscale.TscaleError) as error:
        tscale.load(*arguments)
    assert str(error.value) == said
    assert "--" not in error.value.where


def test_load_speaks_of_its_arguments_for_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "foo"}', encoding="utf-8")
    with pytest.raises(
        tscale.TscaleError, match=r"\(assume=FAMILY counts it as one of a known family; families=FILE describes it\)$"
    ):
        tscale.load(tmp_path)


def test_a_float_is_a_count_where_it_is_exact() -> None:
    """From 2^53 on a whole float may be another number than the one that was written."""
    run: Any = tscale.SequenceLengths(target=1024)
    exact = tscale.training_flops(GPT2, run, ANY_FLOAT(2**53 - 1))
    assert exact == tscale.training_flops(GPT2, run, 2**53 - 1)
    with pytest.raises(tscale.TscaleError, match="tokens must be a whole number"):
        tscale.training_flops(GPT2, run, ANY_FLOAT(2**53))


def ANY_FLOAT(value: int) -> Any:  # noqa: N802 (beside ANY)
    """A number that is no int."""
    return float(value)


def test_the_version_is_that_of_the_changelog() -> None:
    """What its first heading names is the version; not yet released, it is one in development."""
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    heading = re.search(r"^## (\d+\.\d+\.\d+)(.*)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heading is not None
    assert project["version"] == heading[1] + (".dev0" if "not released" in heading[2] else "")
