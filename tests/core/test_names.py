"""Names of entries are printed and never read: no number hangs on one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import tscale.core
from tests.helpers import disclosed, of_each
from tscale.catalogue.models import built_in
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.communication import tensor_sums
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, embedding_params, non_embedding_params, params
from tscale.core.costs.roofline import Dtypes, Pass, Setup, pass_seconds, works
from tscale.core.costs.states import training_states
from tscale.core.costs.training_memory import Layer, Training, needs, states_of
from tscale.core.costs.wall_time import hardware_flops_ratio
from tscale.core.costs.weights import weight_bytes
from tscale.core.costs.workspace import workspace_bytes
from tscale.core.device import Cluster, Device
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Group, Ledger
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.sharding import shard, tensor_degrees
from tscale.errors import RequestError
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec
from tscale.models.stages import kinds_of_layers

CORE = Path(tscale.core.__file__).parent
OF_ENTRIES = {"entry", "saved", "scores", "cache", "matmul", "scan", "conv", "uncut"}
"""What the core calls an entry, or what is saved."""
CLUSTER = Cluster(Device("a chip", {"bf16": 10**15}, 10**11, 10**12, 10**11, None), 8, 10**10)


def renamed(ledger: Ledger, names: Iterator[str]) -> Ledger:
    """The same ledger with another name for each entry, and for whatever is saved."""

    def group_of(group: Group) -> Group:
        entries = tuple(entry._replace(name=next(names)) for entry in group.entries)
        return group._replace(entries=entries, saved=tuple(saved._replace(name=next(names)) for saved in group.saved))

    return Ledger(ledger.model, tuple(map(group_of, ledger.groups)), ledger.audio_frames)


def odd_names() -> Iterator[str]:
    """Names that would mislead whoever read them."""
    tricky = (
        "head",
        "router",
        "attention.kv_up",
        "x.scores",
        "x.cache",
        "encoder.q",
        "experts.shared.down",
        "embedding.segments",
    )
    number = 0
    while True:
        number += 1
        yield f"{tricky[number % len(tricky)]}.{number}"


def asked(spec: ModelSpec, whole: Ledger) -> Iterator[Any]:
    """All that the core answers about a model, as numbers alone."""
    run = run_of(spec, 256)
    for quantity in (params(whole), active_params(whole), embedding_params(whole)):
        yield quantity.total
    yield non_embedding_params(whole)
    for sight in ("full", "causal"):
        yield forward_flops(whole, run, sight).total
    yield cache_bytes(whole, run, 16).total
    for format in ("bf16", "fp8", "q8_0", "mxfp4"):
        yield weight_bytes(whole, DTYPES[format]).total
    for recompute in ("full", "selective"):
        yield hardware_flops_ratio(whole, run, recompute)
    degree = tensor_degrees(whole)[-1]
    share = shard(whole, Parallelism(tensor=degree))
    yield tensor_sums(share, run, 2).total
    yield workspace_bytes(share, whole, run, 4, 64, spec.d_model, 16).total
    yield [
        quantity.total
        for quantity in training_states(share, PRECISIONS["bf16"], OPTIMIZERS["adamw"], Parallelism(zero=3, data=2))
    ]
    yield activation_bytes(whole.saved, run, Passes(2, "naive", 2, dropout=True)).total
    for rank in (None, 8):
        training = Training(
            PRECISIONS["bf16"], OPTIMIZERS["adamw"], Parallelism(zero=3, data=2), run, rank=rank, loss="plain"
        )
        layers = tuple(Layer(kind, kind.saved) for kind in kinds_of_layers(spec, whole, Parallelism())[0])
        yield needs(whole, whole.saved, states_of(whole, training), layers, 0, training).total
    dtypes = Dtypes(DTYPES["fp8"], DTYPES["bf16"], {"": 10**15})
    setup = Setup(whole, share, dtypes, CLUSTER, degree, spec.parallel_block, by_sequences=False)
    for decoding in (False, True):
        work = works(setup, Pass(2, 64, 128, 1, decoding=decoding, source=64 if spec.kind != "decoder" else 0))
        yield Fraction(pass_seconds(setup, work))


@of_each(disclosed())
def test_names_change_no_number(name: str) -> None:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    try:
        whole = lower(spec, saves=True)
    except RequestError:
        whole = lower(spec)  # what it keeps is not known
    assert list(asked(spec, renamed(whole, odd_names()))) == list(asked(spec, whole))


def reads_of(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Where an entry's name is compared, searched, cut or used as a key."""

    def is_name(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Attribute)
            and node.attr == "name"
            and isinstance(node.value, ast.Name)
            and node.value.id in OF_ENTRIES
        )

    for node in ast.walk(tree):
        inside: list[ast.AST] = []
        match node:
            case ast.Compare():
                inside = [node.left, *node.comparators]
            case ast.Attribute():
                inside = [node.value]  # a method of the text
            case ast.Subscript():
                inside = [node.slice, *(node.slice.elts if isinstance(node.slice, ast.Tuple) else [])]
            case ast.Dict():
                inside = [key for key in node.keys if key is not None]
            case ast.DictComp():
                inside = [node.key]
            case ast.Call(func=ast.Attribute(attr="get" | "setdefault")):
                inside = list(node.args[:1])
        yield from (found for found in inside if is_name(found))  # type: ignore[misc]


ALIKE = ("blocks", "models/ends.py", "models/lower.py", "models/stack.py", "models/stages.py", "importer/converted.py")
"""Beside the core: what makes ledgers, and what decides by the kinds of their entries."""
MADE = [file for path in ALIKE for file in sorted(CORE.parent.glob(f"{path}/*.py" if "." not in path else path))]


@of_each([*sorted(CORE.rglob("*.py")), *MADE])
def test_the_core_reads_no_name_of_an_entry(path: Path) -> None:
    assert [f"line {found.lineno}" for found in reads_of(ast.parse(path.read_text(encoding="utf-8")))] == []
