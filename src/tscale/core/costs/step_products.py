"""Products of matrices and attention in a training step, at the best of a device: of what `tscale.core.costs.step_work` is made.

Products are counted in tiles of 128 by 256 of their result, which the multiprocessors of a device compute in waves, the last of
which may be nearly empty (NVIDIA, Matrix Multiplication Background User's Guide, "Wave Quantization").

Unfused attention reads and writes 9 bytes a score forward and 18 backward beside its products, in 16 bits and with dropout; where
softmax is not fused either, about 20 more each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, cast

from tscale.core.costs.forward import pairs, through_tower
from tscale.core.device import Cluster
from tscale.core.elementwise import larger
from tscale.core.ledger import Ledger, Matmul, Scores
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import is_expert
from tscale.core.tracing import as_float, is_array, is_nothing, rounded_up, where
from tscale.core.workload import SequenceLengths, TowerRun

Again = Literal["none", "selective", "op", "full"]
"""What the backward pass computes again: nothing, the scores, every second product (torchtitan's "op"), or whole layers."""


class Repeated(NamedTuple):
    """How often the backward pass runs forward work once more: whole layers, every second product, scores of attention."""

    layers: float = 0.0
    second: float = 0.0
    scores: float = 0.0


REPEATED: Final[dict[Again, Repeated]] = {
    "none": Repeated(),
    "selective": Repeated(scores=1.0),
    "op": Repeated(second=1.0),
    "full": Repeated(layers=1.0, scores=1.0),
}
"""What each policy computes again."""


WIDTH: Final = 2
"""Bytes of an activation, a weight and a gradient."""
TILE: Final = (128, 256)
"""Rows and columns of a result that a multiprocessor computes at a time."""
NARROW: Final = 64
"""Rows or columns of the narrowest tile, which libraries take where a result has no more, as of a low-rank adapter (NVIDIA, Matrix
Multiplication Background User's Guide, section 4: from 256x128 to 64x64). Batches, of heads, are as their constants were fitted."""
_SCORES_FORWARD, _SCORES_BACKWARD, _SOFTMAX_IN_STEPS = 9, 18, 20
_OF_AN_ADDITION = 3 * WIDTH
"""Bytes of a number of a sum: both parts are read, and it is written. Adapters are added to what they stand beside in a kernel of its own,
forward as backward (LoRALinear of NVIDIA/NeMo v2.4.0, nemo/collections/llm/peft/lora.py, and of torchtune, modules/peft/lora.py at 1814feb17;
huggingface/peft, tuners/lora/layer.py; NVIDIA-NeMo/Automodel, components/_peft/lora.py: `add_`), where the gradients of their common
input are summed by autograd. What scales them is not counted: of rank numbers (Automodel), or compiled into the sum (torchtune)."""
ACCUMULATED: Final = 8
"""Bytes of a weight's gradient in a micro-batch where the product that gives it is not fused with its sum: written in 16 bits, read, and
added to what was there, which is read and written in 16."""
FUSED_SOFTMAX: Final = 4
"""Heads by sequences must be a multiple of this for Megatron-LM's fused causal softmax (fused_softmax.py, get_batch_per_block
of rows of 1,024 keys and more); otherwise softmax is taken in steps."""
FLASH_BACKWARD: Final = 2.5
"""FLOPs of a fused backward pass over those of its forward pass: five products for two (Dao 2023, section 3)."""


class Product(NamedTuple):
    """A product of matrices: seconds at the peak, its last wave included, and seconds of its traffic."""

    computing: float
    traffic: float

    def times(self, many: float) -> Product:
        """As much, so many times."""
        return Product(many * self.computing, many * self.traffic)


class Case(NamedTuple):
    """What is run: sequences of a micro-batch, micro-batches, what is computed again, formats and kernels.

    `eight_bit`: whether products of layers are in fp8; `peak` is that of their format, less what its scales cost, and `peak_16` of 16 bits.
    `modules`: of Megatron-LM's `--recompute-modules` those that the backward pass runs once more (`step_work.MODULES`).
    `compiled`: whether what limits and gates the outputs of experts with biases is one kernel.
    `queued`: how often the host queues each kernel of layers with routed experts (`step_work.StepWork`).
    `expert_tensor`: devices that cut each routed expert, which tokens reach by one of them.
    `narrow_head`: whether the head's products are in the format of the layers', not in 16 bits.
    `wide`: whether the probabilities that experts' biases are multiplied by are in 32 bits.
    `unpacked`: bytes that are read and written of a frozen weight in few bits each time that it is unpacked for a product; 0 of others.
    `fused`: whether attention is one kernel. `recent`: whether the framework is of 2023 or later: the product that gives a gradient of
    weights adds it to what earlier micro-batches gave (Megatron-LM's gradient_accumulation_fusion), and stages of several pieces send
    behind computing. `gradient_bytes`: of a number of that sum, and of its exchange between copies.
    `multiprocessors`: None where not known: waves are then not counted.
    `copied`: whether a token is sent once for each of its experts, as all-to-alls do, not once to each device that has some of them.
    `in_a_row`: whether a token's experts follow one another, as in Automodel's benchmarks. `waits`: whether a pipeline waits for what its
    stages hand on, and for the exchange of gradients and weights. `by_host`: whether a device sends to a NIC that is not next to it through
    the host's memory.
    """

    run: SequenceLengths
    micro: int
    micro_batches: int
    d_model: int
    repeated: Repeated
    peak: float
    peak_16: int
    eight_bit: bool
    fused: bool
    multiprocessors: int | None
    parallel_block: bool = False
    unpacked: float = 0.0
    gradient_bytes: float = 4.0
    modules: frozenset[str] = frozenset()
    compiled: bool = False
    queued: float = 0.0
    copied: bool = False
    in_a_row: bool = False
    waits: bool = False
    expert_tensor: int = 1
    wide: bool = False
    narrow_head: bool = False
    by_host: bool = False
    recent: bool = True


def tokens_of(entry: Matmul, plan: Parallelism, case: Case) -> float:
    """Tokens of a micro-batch that a device multiplies by a matrix; by one of a tower, positions of all its images and sounds."""
    if through_tower(case.run, entry):
        seen = sum(one.times * _length(entry, one.run) for one in case.run.through(entry.block))
        return cast("float", as_float(case.micro * seen))
    return case.micro * _length(entry, case.run) / plan.context


def _length(entry: Matmul, run: SequenceLengths | TowerRun) -> int:
    length = int(run.length(entry.stream))
    return length if entry.most is None else min(length, int(entry.most))


class Products:
    """Makes products of matrices, as a device would run them at its best."""

    def __init__(self, case: Case, cluster: Cluster) -> None:
        self.case = case
        self.bandwidth = cluster.device.memory_bytes_per_second

    def of(self, m: float, n: float, k: float, times: float, peak: float, batch: float = 1) -> Product:
        """`times` products [m, k]·[k, n], each of a `batch` of them at once."""
        computing = 2 * m * n * k * batch / peak * self.waves(m, n, batch)
        traffic = WIDTH * batch * (m * k + k * n + m * n) / self.bandwidth
        return Product(times * computing, times * traffic)

    def summed(self, one: Product, sizes: tuple[float, float, float], times: float, batch: float = 1) -> Product:
        """The gradient of the right factor, [k, n], by recent frameworks added to a sum in its product, which reads and writes it."""
        _, n, k = sizes
        if not self.case.recent:
            return one
        more = 2 * self.case.gradient_bytes - WIDTH
        return one._replace(traffic=one.traffic + times * batch * more * k * n / self.bandwidth)

    def added(self, shape: Shape, wide: float) -> Product:
        """What an adapter's product gives, `wide` numbers for each of its rows, added to what the frozen matrix beside it gives."""
        m, _, _ = shape.sizes
        return Product(0.0, _OF_AN_ADDITION * shape.times * shape.batch * m * wide / self.bandwidth)

    def with_gradients(
        self, sizes: tuple[float, float, float], times: float, peak: float, batch: float = 1
    ) -> tuple[Product, Product, Product]:
        """A product [m, k]·[k, n], the gradient of its left factor, [m, n]·[n, k], and that of its right one, [k, m]·[m, n]."""
        m, n, k = sizes
        forward, left, right = (self.of(*each, times, peak, batch) for each in ((m, n, k), (m, k, n), (k, n, m)))
        return forward, left, right

    def waves(self, m: float, n: float, batch: float) -> float:
        """How many times as long a product takes for tiles that are cut off and a wave that is not full."""
        many = self.case.multiprocessors
        if many is None:
            return 1.0
        rows, columns = (
            where((side <= NARROW) & (batch == 1), NARROW, tile) for side, tile in zip((m, n), TILE, strict=True)
        )
        tiles = rounded_up(m / rows) * rounded_up(n / columns) * batch
        return cast("float", rounded_up(tiles / many) * many / (m * n * batch / (rows * columns)))


_JOINED: Final = {"q": "qkv", "k": "qkv", "v": "qkv", "up": "up", "gate": "up"}
"""Matrices that multiply the same input and are one in the kernels that frameworks run."""


def joined(share: Ledger) -> Iterator[Matmul]:
    """The matrices of a stage, those that stand side by side as one."""
    found: dict[object, Matmul] = {}
    for entry in share.entries:
        if isinstance(entry, Matmul):
            joined = _JOINED.get(entry.role)
            same = (
                entry if joined is None else (joined, entry.block, entry.d_in, entry.stream, entry.experts, entry.used)
            )
            key = tuple(_hashable(one) for one in same) if any(map(is_array, same)) else same
            before = found.get(key)
            found[key] = entry if before is None else before._replace(d_out=before.d_out + entry.d_out)
    return iter(found.values())


def _hashable(value: Any) -> object:
    """A value by which entries are told apart."""
    return value.tobytes() if is_array(value) else value


class Shape(NamedTuple):
    """A product's sizes [m, n, k], how often it runs, and how many run at once."""

    sizes: tuple[float, float, float]
    times: float
    batch: float


def shape_of(entry: Matmul, tokens: float) -> Shape:
    """A matrix with the tokens that it multiplies; routed experts of a layer run at once, each with its part of them."""
    n, k = as_float(entry.d_out), as_float(entry.d_in)
    if not is_expert(entry):
        return Shape((tokens * entry.abreast, n, k), as_float(entry.used) / entry.abreast, 1.0)
    layers = entry.stored // entry.experts
    copies = tokens * entry.used / layers
    return Shape((larger(copies / entry.experts, 1.0), n, k), as_float(layers), as_float(entry.experts))


class Attention(NamedTuple):
    """Scores of a stage: products of an unfused kernel with their traffic in bytes, or seconds of a fused one."""

    products: tuple[Product, ...] = ()
    products_again: tuple[Product, ...] = ()
    seconds: float = 0.0
    seconds_again: float = 0.0
    traffic: float = 0.0
    traffic_again: float = 0.0
    in_steps: float = 0.0


def attention_work(share: Ledger, plan: Parallelism, case: Case, make: Products) -> Attention:
    """What all scores of a stage take, by a fused kernel or by products and softmax."""
    found = Attention()
    for entry in share.entries:
        for scored in _scored(entry, plan, case) if isinstance(entry, Scores) else ():
            one = _fused(scored, case) if case.fused else _unfused(scored, case, make)
            found = Attention(
                found.products + one.products,
                found.products_again + one.products_again,
                found.seconds + one.seconds,
                found.seconds_again + one.seconds_again,
                found.traffic + one.traffic,
                found.traffic_again + one.traffic_again,
                larger(found.in_steps, one.in_steps),
            )
    return found


class _Scored(NamedTuple):
    """Scores of a micro-batch: so `many` runs at once, each shared by the devices of context parallelism."""

    entry: Scores
    run: SequenceLengths | TowerRun
    many: int
    shared: int


def _scored(entry: Scores, plan: Parallelism, case: Case) -> Iterator[_Scored]:
    """Those of its sequences; of a tower, those of its images and sounds, each of which a device runs whole."""
    if through_tower(case.run, entry):
        for one in case.run.through(entry.block):
            yield _Scored(entry, one.run, case.micro * one.times, 1)
    else:
        yield _Scored(entry, case.run, case.micro, plan.context)


def _fused(scored: _Scored, case: Case) -> Attention:
    """A fused kernel: of causal attention, the pairs that a query sees."""
    entry = scored.entry
    seen = pairs(entry, scored.run, "causal") * as_float(entry.used) * entry.heads * (entry.d_qk + entry.d_v)
    forward = 2.0 * scored.many * seen / scored.shared / case.peak_16
    return Attention(seconds=(1 + FLASH_BACKWARD) * forward, seconds_again=case.repeated.layers * forward)


def _unfused(scored: _Scored, case: Case, make: Products) -> Attention:
    """Two batches of products for all pairs, and what is elementwise on every score."""
    entry, run = scored.entry, scored.run
    queries = int(run.length(entry.stream)) / scored.shared
    keys = float(run.length(entry.keys) // (entry.stride or 1))
    heads, layers = scored.many * as_float(entry.heads), as_float(entry.used)
    logits, *of_logits = make.with_gradients((queries, keys, float(entry.d_qk)), layers, case.peak_16, heads)
    values, *of_values = make.with_gradients((queries, float(entry.d_v), keys), layers, case.peak_16, heads)
    in_steps = where(heads % FUSED_SOFTMAX != 0, 1.0, 0.0)
    more = _SOFTMAX_IN_STEPS * in_steps
    scores = heads * queries * keys * layers
    again = case.repeated.scores
    return Attention(
        (logits, values, *of_logits, *of_values),
        () if is_nothing(again) else (logits.times(again), values.times(again)),
        traffic=scores * (_SCORES_FORWARD + _SCORES_BACKWARD + 2 * more),
        traffic_again=again * scores * (_SCORES_FORWARD + more),
        in_steps=in_steps,
    )
