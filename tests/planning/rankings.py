"""How layouts that were measured or published rank: `python -m tests.planning.rankings` prints a table of each.

Measured: of layouts of one model, batch and number of GPUs (vTrain's runs), what the first by prediction takes over the fastest
measured, and the best of the first three. Published: what a published layout is predicted to take over the best layout found, its
policies (precision, ZeRO, recomputation, how tokens are sent to their experts and kernels queued) fixed as its framework's recipe has them
(`_recipe`, training_settings.csv) and every degree varied that it could run. It is
compared with layouts that surely fit: one that may fit, next to the least that devices were seen to hold back, is no better before it was
run, as the published one was. Where a recipe computes modules again, which no search knows, its layout is taken as it was run as well:
gpt-oss-120b on B200 holds four sequences for that alone. llm-foundry of 2023 had sharded data parallelism alone, so that its micro-batches are what is compared. Llama 3's Table 4 is of 405B.

Narayanan 2021's Table 1 is of Megatron-LM in 2021, and what it is compared with is what that could run: full recomputation, unfused
attention, no sharded states, stages and pieces of as many layers each, pieces only of more than two stages and with micro-batches that
these divide (NVIDIA/Megatron-LM v2.5, megatron/arguments.py and schedules.py), tensor parallelism that fills a node with whole groups. Of a
parameter it held 20 bytes in fp16, with fp16 gradients and their fp32 copy, and 18 in bf16 with fp32 gradients (NVIDIA/Megatron-LM,
docs/distrib_optimizer.md, "Non-distributed optim"); no recipe here has 20, so that it is given 18, and a layout must surely fit. Its
degrees were picked by the heuristics of the paper's section 3, not by a search; where others of the same model, batch and GPUs were
measured (vTrain's runs of 3.6B, 18B and 39B), that is printed too. What its 18B and 39B
are behind is 2-way tensor parallelism in interleaved stages, which nobody measured at those sizes. Without pieces it was measured to be slower: of
39B all four such runs took 1.3 to 1.8 times as long as the 8-way of the table (0.99 to 1.4 predicted), the fastest of them, less what three pieces
would save of its bubble, still 3% longer; of 18B, 4-way in two stages took 1.04 to 1.14 times as long as 8-way in one (0.96 to 1.03 predicted). What is missing
there is not known: the paper's own figures rank as predicted (tests/core/test_published_steps.py), and by its figure 18 what stages hand on
costs less than is counted. By the slow end of intervals, which are
wide where no run was divided so, these would be 9% and 3% behind; but 3.6B and 7.5B, in 2-way and 4-way sums, 33% and 28%, the first of one
of vTrain's four groups 6% behind the fastest measured, and stages that are interleaved, sequence parallelism and shared states would come after all
that was measured without them. So the middle ranks.

Qwen3 235B on 256 GB200 in bf16 (25.11) had its experts over 32 devices. From 26.02 on NVIDIA's recipe of that model, chip, batch and number of GPUs in
bf16 has them over 8, in as many stages of one piece (NVIDIA-NeMo/Megatron-Bridge scripts/performance/configs/qwen/qwen3_workload_base_configs.py at v0.3.0 to
v0.5.1, QWEN3_235B_A22B_PRETRAIN_CONFIG_GB200_BF16_V2; src/megatron/bridge/perf_recipes/qwen/gb200 at v0.6.0; NVIDIA/dgxc-benchmarking
qwen3/pretrain/README.md from v26.02 on), which is within 1% of the best found; how fast it is nobody published. In fp8 they stay over 32, within 6% of the best.

torchtitan's 70B on 256 H100 shows 8-way tensor parallelism beside shards (its table 4 has no row of shards alone), and is behind
these as it should be. IBM and Meta, with torchtitan too, measured 70B by shards alone at 1,430 tokens/s in fp8 and 956 in bf16 on 128 and 256 H100, and
1,448 and 960 on 512 (pytorch.org/blog/training-using-float8-fsdp2): 1.6 and 1.5 times the 876 and 652 of the row and of its bf16, where 1.2 are predicted. Its
page of A100 has shards alone as well, predicted within 2%, 44 such runs of llm-foundry on 16 to 512 devices are predicted within 5% in the median
(tests/measured/published_shards.csv), and of 8B, on the same H100, it measured
shards alone to be 1.35 (bf16) and 1.50 (fp8) times as fast as asynchronous 8-way tensor parallelism beside them, where 1.22 and 1.26 are
predicted. What is off is the row, not what it is behind: IBM and Meta's runs took 0.97 (bf16) and 0.91 (fp8) times as long as predicted, torchtitan's
with 8-way tensor parallelism 1.12 and 1.07, and 1.22 and 1.16 where its collectives are not asynchronous
(asyncTP_llama3_h100_2025-06_torchtitan.md), though all of their time is counted in the open.

Speed: a search beside a plain loop over a sample of its layouts.
"""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import inf
from pathlib import Path
from time import process_time
from types import MappingProxyType
from typing import Any, NamedTuple, get_args

import numpy as np

from tscale.calibration import training_rows
from tscale.calibration.training_case import TrainingCase, as_cut, prediction
from tscale.calibration.training_settings import with_settings
from tscale.catalogue.hardware import Hardware, find_hardware
from tscale.catalogue.models import configs
from tscale.core.axis import Axis
from tscale.core.costs.training_setup import Training
from tscale.core.device import of_peak
from tscale.core.parallelism import Parallelism, divisors
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.recompute import Again, Recompute
from tscale.errors import RequestError
from tscale.estimates.plan.search import Ask, Sized, subject_of
from tscale.estimates.plan.words import layout_text
from tscale.models.resolve import resolve
from tscale.models.spec import ModelSpec
from tscale.models.trainer import trainer
from tscale.planning.search import Found

# GPUs, tensor, context, pipeline, batch, tokens of a sequence: Dubey 2024, Table 4.
LLAMA = ((8192, 8, 1, 16, 2048, 8192), (16384, 8, 1, 16, 2048, 8192), (16384, 8, 16, 16, 128, 131072))


class Group(NamedTuple):
    """Measured layouts of one model, batch and number of GPUs: seconds over the fastest measured."""

    gpus: int
    layouts: int
    first: float
    best_of_three: float


TABLE_1 = Path(__file__).parents[1] / "measured" / "narayanan_table_1.csv"


def rows_of(name: str | Path) -> list[dict[str, str]]:
    """The rows of a table of configs/measured, or of a file."""
    lines = (configs() / "measured" / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def groups() -> list[Group]:
    """Groups of several layouts."""
    by_case: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    for row in rows_of("vtrain.csv"):
        key = tuple(row[name] for name in ("gpus", "batch", "layers", "d_model", "heads", "context"))
        judged = training_rows.judge(row)[0]
        by_case[key].append((judged.middle, judged.measured))
    found = []
    for key, runs in by_case.items():
        if len(runs) > 1:
            measured = [seconds for _, seconds in sorted(runs)]
            found.append(
                Group(int(key[0]), len(runs), measured[0] / min(measured) - 1, min(measured[:3]) / min(measured) - 1)
            )
    return found


class Ranked(NamedTuple):
    """A published layout: seconds over those of the best found, None where it is not among those that fit."""

    name: str
    gpus: int
    behind: float | None
    best: str


def axis(*values: Any) -> Axis:
    """An axis of some values."""
    return Axis(",".join(map(str, values)), values)


class AsRun(Sized):
    """A search of steps that are run as a recipe has it, beyond what can be asked."""

    how: Mapping[str, Any] = MappingProxyType({})

    def _case(self, precision: str) -> TrainingCase | None:
        case = super()._case(precision)
        return None if case is None else case._replace(**self.how)


def sized(spec: ModelSpec, hardware: Hardware, gpus: int, batch: int, context: int, given: Any, **more: Any) -> AsRun:
    """A search."""
    chip = (hardware.name, hardware)
    return AsRun(
        subject_of(spec, context), Ask(batch, (gpus,), (chip,), given, context=context, **more), chip, gpus, None
    )


def ranked(
    name: str,
    search: Sized,
    among: Callable[[Found], Any] | None = None,
    as_run: float | None = None,
    /,
    **degrees: int,
) -> Ranked:
    """How a layout of some degrees ranks, its other degrees at their best; `among`: which of all that fit it is compared with.

    It is compared with what surely fits, and may itself be one that may fit, for it was run. `as_run`: seconds that it is predicted to
    take just as it was, where its modules that are computed again are none that a search knows.
    """
    found = search.found
    columns = found.layouts.columns
    every = np.ones(found.size, dtype=bool) if among is None else among(found)
    own = every & np.all([columns[key] == value for key, value in degrees.items()], axis=0)
    same, rows = np.flatnonzero(own), np.flatnonzero(own | every & found.fits)
    best = layout_text(found.layouts.one(rows[0])) if len(rows) else "nothing fits"
    if not len(same):
        return Ranked(name, search.gpus, None, best)
    seconds = min(float(found.seconds[same[0]]), as_run or inf)
    return Ranked(name, search.gpus, seconds / min(float(found.seconds[rows[0]]), seconds) - 1, best)


def of_2021(row: dict[str, str]) -> Ranked:
    """A row of Narayanan's Table 1, among what Megatron-LM could run then."""
    layers, width, heads, gpus = (int(row[name]) for name in ("layers", "d_model", "heads", "gpus"))
    sizes = f"layers={layers} d_model={width} attention.heads={heads} feed_forward.d_ff={4 * width} vocabulary=51200"
    given = {
        "zero": axis(0),
        "precision": axis("bf16-fp32-gradients"),
        "sequence": axis(False),
        "recompute": axis(Again("full")),
        "tensor": axis(1, 2, 4, 8),
    }
    spec, a100 = resolve("gpt3", tuple(sizes.split())), find_hardware("a100-sxm-80gb", ())
    search = sized(spec, a100, gpus, int(row["batch"]), 2048, given, stack="megatron-lm", attention="naive")

    def could_run(found: Found) -> Any:
        at = found.layouts.columns
        even = search.axes.stages.index(None)
        micro_batches = int(row["batch"]) // (at["data"] * at["micro_batch"])
        in_pieces = (at["pipeline"] > 2) & (micro_batches % at["pipeline"] == 0)
        of_layers = layers % (at["pipeline"] * at["interleave"]) == 0
        return found.fits & (at["stages"] == even) & of_layers & (in_pieces | (at["interleave"] == 1))

    degrees = {name: int(row[name]) for name in ("tensor", "pipeline")}
    return ranked(f"Narayanan, {layers} layers of {width}", search, could_run, **degrees)


class Measured(NamedTuple):
    """A published layout: seconds of its fastest run over those of the fastest run of any layout, as measured and as predicted."""

    name: str
    layouts: int
    measured: float
    predicted: float


def measured_of_2021() -> Iterator[Measured]:
    """The layouts of Narayanan's Table 1 that were measured with others of the same model, batch and number of GPUs."""
    runs = rows_of("vtrain.csv")
    keys = ("layers", "d_model", "heads", "gpus", "batch")
    for row in rows_of(TABLE_1):
        same = [run for run in runs if all(run[key] == row[key] for key in keys)]
        own = [all(run[key] == row[key] for key in ("tensor", "pipeline")) for run in same]
        if any(own):
            found = [training_rows.judge(run)[0] for run in same]
            seconds = ([one.measured for one in found], [one.middle for one in found])
            ratios = (min(s for s, o in zip(of, own, strict=True) if o) / min(of) - 1 for of in seconds)
            yield Measured(f"{row['layers']} layers of {row['d_model']}", len(same), *ratios)


def published() -> Iterator[Ranked]:
    """NVIDIA's and others' rows, Narayanan's Table 1 and Llama 3's Table 4."""
    yield from map(of_2021, rows_of(TABLE_1))
    spec = resolve("llama-3.1-405b")
    for gpus, tensor, context, pipeline, batch, length in LLAMA:
        given = {"zero": axis(1, 2), "context_parallel": axis(*sorted({1, context}))}
        search = sized(spec, find_hardware("h100", ()), gpus, batch, length, given)
        yield ranked(f"Llama 3 Table 4, {length:,} tokens", search, tensor=tensor, pipeline=pipeline, context=context)
    for row in rows_of("published_layouts.csv"):
        yield of_row(row)


def of_row(row: dict[str, str]) -> Ranked:
    """A row of published_layouts.csv."""
    model = training_rows._model_of(row)
    hardware = training_rows.hardware_at(row["gpu"], row["source"])
    context = int(row["context_parallel"])
    given = {**_recipe(row), "context_parallel": axis(*sorted({1, context}))}
    gpus, batch = int(row["gpus"]), int(row["batch"])
    degrees = {
        "tensor": int(row["tensor"]),
        "pipeline": int(row["pipeline"]),
        "expert": int(row["expert"]),
        "context": context,
    }
    if "llm-foundry" in row["source"]:
        given |= {"tensor": axis(1), "pipeline": axis(1), "micro_batch": axis(*divisors(batch // gpus))}
        degrees["micro_batch"] = int(row["micro_batch"])
    search = sized(model.spec, hardware, gpus, batch, int(row["context"]), given)
    search.how = _run_as(row, model.name, hardware.name)
    among = None
    if "Automodel" in row["source"]:  # stages of as many layers, the first of one more
        among = partial(_even, stages=search.axes.stages.index(None))
    as_run = prediction(own).seconds.middle if (own := training_rows.case_of(row)[0]).modules else None
    return ranked(f"{model.name} on {row['gpu']}", search, among, as_run, **degrees)


def _even(found: Found, stages: int) -> Any:
    even: Any = found.layouts.columns["stages"] == stages
    return even


def _run_as(row: dict[str, str], model: str, gpu: str) -> dict[str, Any]:
    """How tokens of a row are sent to their experts, and kernels queued."""
    settings = with_settings(row, model, gpu)
    return {
        "dispatcher": training_rows.dispatcher_of(settings),
        "queued": training_rows.queued_of(settings),
        "automodel": "Automodel" in row["source"],
    }


def _recipe(row: dict[str, str]) -> dict[str, Axis]:
    """How a row's framework keeps parameters, shards and computes again, beyond what the row says.

    Automodel (v0.2.0, docs/performance-summary.md and examples/benchmark/configs): a model and torch.optim.Adam in bf16, a loss without a
    copy in fp32, whole layers again but in gpt-oss-120b (activation_checkpointing). Weights and gradients are whole within a step, as of
    a distributed optimizer: stages do not reshard (components/moe/parallelizer.py, reshard_after_forward) nor reduce before the last
    micro-batch, and Qwen3-30B-A3B has enable_fsdp_optimizations (components/moe/fsdp_mixin.py); gpt-oss-120b reshards. Its own models have
    no tensor parallelism (an assertion in parallelize_model) and stages as even as can be (components/distributed/pipelining/functional.py).
    """
    policy = row["recompute"] if row["recompute"] in get_args(Recompute) else "none"
    if "Automodel" in row["source"]:
        return {
            "precision": axis("pure-bf16"),
            "loss": axis("bf16"),
            "zero": axis(training_rows.ZERO[row["sharding"]]),
            "recompute": axis(Again("none" if row["model"] == "gpt-oss-120b" else "full")),
            "tensor": axis(1),
        }
    precision = of_peak(row["precision"])
    in_16_bits = precision == "fp8" and training_rows.gradient_bytes(row) == 2
    return {
        "precision": axis("fp8-bf16-gradients" if in_16_bits else precision),
        "zero": axis(training_rows.ZERO[row["sharding"]]),
        "recompute": axis(Again(policy)),  # type: ignore[arg-type]
    }


def speeds() -> Iterator[tuple[str, int, float, float]]:
    """Layouts tried, seconds of one core for all of them, and for a plain loop over as many."""
    for name, chip, gpus, batch in (("llama-3.1-405b", "h100", 16_384, 2048), ("deepseek-v3", "h800", 2048, 15_360)):
        spec, length = resolve(name), 8192 if name.startswith("llama") else 4096
        sized(spec, find_hardware(chip, ()), gpus, batch, length, {}).found.size.bit_length()
        start = process_time()
        search = sized(spec, find_hardware(chip, ()), gpus, batch, length, {})
        evaluated = search.found.evaluated
        taken = process_time() - start
        yield f"{name} on {gpus:,} {chip}", evaluated, taken, _plainly(search) * (evaluated - _cheap(search))


def _cheap(search: Sized) -> int:
    """Layouts that are rejected before anything is computed."""
    return sum(count for reason, count in search.found.rejected.items() if reason != "memory")


def _plainly(search: Sized) -> float:
    """Seconds of one layout in a plain loop: its memory, and its step where that fits."""
    found, base = search.found, Training(PRECISIONS["bf16"], OPTIMIZERS["adamw"], Parallelism(), search.subject.run)
    rows = random.Random(1).sample(range(found.size), 20)  # noqa: S311 (a sample to time)
    start = process_time()
    for row in rows:
        layout = found.layouts.one(row)
        one = trainer(
            search.subject.spec,
            base._replace(plan=layout.plan, micro_batch=layout.micro_batch, recompute=layout.recompute),
            int(search.subject.context.value),
        )
        one.totals()
        prediction(search.case_of(layout, as_cut(layout.plan)))
    return (process_time() - start) / len(rows)


def main() -> None:
    """Prints all of it."""
    found = groups()
    for name, of in (
        ("more than 8 GPUs", [g for g in found if g.gpus > 8]),
        ("one node", [g for g in found if g.gpus <= 8]),
    ):
        first, three = (sum(getattr(one, key) <= 0.05 for one in of) for key in ("first", "best_of_three"))
        print(
            f"measured, {name}: {len(of)} groups; the first within 5% of the fastest in {first}, the best of three in {three}"
        )
    for name, evaluated, taken, plain in speeds():
        print(
            f"{name}: {evaluated:,} layouts in {taken:.2f} s; a plain loop {plain:,.0f} s, {plain / taken:,.0f} times as long"
        )
    for one in published():
        behind = "not among those that fit" if one.behind is None else f"{one.behind:+.1%}"
        print(f"{one.name:40} {one.gpus:>6}  {behind:>8}  best: {one.best}")
    for row in measured_of_2021():
        print(
            f"{row.name}, {row.layouts} layouts measured: {row.measured:+.1%} of the fastest, predicted {row.predicted:+.1%}"
        )


if __name__ == "__main__":
    try:
        main()
    except RequestError as error:
        raise SystemExit(str(error)) from None
