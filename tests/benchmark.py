"""How fast it is, as ratios measured side by side in one run: `python -m tests.benchmark [ROUNDS]`.

Not a test: a machine's load must not fail a build. The least app is what anybody pays who reads one YAML field into one
pydantic model and prints a one-row rich table from typer; the rival is `llm-flops`, if it is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any, Final

import numpy as np
from pyarrow.dataset import dataset

import tscale
from tests.helpers import function_of, run
from tscale.catalogue.hardware import find_hardware
from tscale.core.costs.params import params as parameters
from tscale.core.costs.step_time import BITS, Batch, Workload, step_of
from tscale.core.costs.training_memory import Training
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.tracing import TracedInt
from tscale.models.lower import lower, run_of
from tscale.models.resolve import resolve
from tscale.models.stages import stages
from tscale.models.trainer import trainer

LEAST = """
import typer, yaml
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

class Model(BaseModel):
    layers: int

app = typer.Typer()

@app.command()
def main(name: str = "gpt3") -> None:
    model = Model.model_validate(yaml.safe_load("layers: 96"))
    table = Table("layers")
    table.add_row(str(model.layers))
    Console().print(table)

app()
"""


def fastest(commands: dict[str, list[str]], rounds: int) -> dict[str, float]:
    """The best time in seconds of each command, the commands taking turns so that load falls on all alike."""
    best = dict.fromkeys(commands, float("inf"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=environment)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def start_up(rounds: int) -> None:
    """Whole commands against the least app and the rival."""
    with tempfile.TemporaryDirectory() as folder:
        least = Path(folder) / "least.py"
        least.write_text(LEAST, encoding="utf-8")
        ours = [sys.executable, "-m", "tscale"]
        rival = which("llm-flops", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
        commands = {
            "bare python": [sys.executable, "-c", "pass"],
            "least app": [sys.executable, str(least)],
            "params gpt3": [*ours, "params", "gpt3"],
            "params gpt3 --format json": [*ours, "params", "gpt3", "--format", "json"],
            "memory gpt3 --gpu h100": [*ours, "memory", "gpt3", "--gpu", "h100"],
            "train gpt3 --gpu h100 --gpus 1024": [*ours, "train", "gpt3", "--gpu", "h100", "--gpus", "1024"],
            "compare transformer gpt3": [*ours, "compare", "transformer", "gpt3"],
            "--help": [*ours, "--help"],
            **({"llm-flops estimate gpt2 --json": [rival, "estimate", "gpt2", "--json", "--no-hf"]} if rival else {}),
        }
        best = fastest(commands, rounds)
    for name, seconds in best.items():
        line = f"{name:34} {1000 * seconds:7.1f} ms   {seconds / best['least app']:5.2f} of the least app"
        line += f"   {seconds / best['params gpt3']:5.2f} of params gpt3"
        if rival:
            line += f"   {seconds / best['llm-flops estimate gpt2 --json']:5.2f} of llm-flops"
        print(line)


def best_of(action: Callable[[], Any], times: int) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - start)
    return best


def depth_and_context() -> None:
    """The work does not grow with layers or context."""
    spec = tscale.load("gpt3")
    for what, shallow, deep in (
        ("10,000 layers to 10", replace(spec, layers=10), replace(spec, layers=10_000)),
        (
            "a context of 10^9 to 10^3",
            replace(spec, context=10**3, training=None),
            replace(spec, context=10**9, training=None),
        ),
    ):

        def count(asked: tscale.ModelSpec) -> int:
            return tscale.forward_flops(tscale.lower(asked), tscale.SequenceLengths(asked.context or 1), "causal").total

        times = [best_of(partial(count, asked), 200) for asked in (deep, shallow)]
        print(f"{what}: {times[0] / times[1]:.2f} times the work")


def sweeps(count: int = 1_000_000) -> None:
    """A million random decoders as arrays, and one at a time."""
    spec = tscale.traced(tscale.load("gpt3"))
    ledger = tscale.lower(spec)
    context, tokens = TracedInt(2048, label="context"), TracedInt(300 * 10**9, label="tokens")
    params = function_of(parameters(ledger).total)
    flops = function_of(tscale.training_flops(ledger, tscale.SequenceLengths(context), tokens))
    random = np.random.default_rng(0)
    heads = random.integers(1, 128, count).astype(float)
    sizes: Any = {
        "layers": random.integers(1, 200, count).astype(float),
        "d_model": 128 * heads,
        "heads": heads,
        "d_ff": 512 * heads,
        "vocabulary": random.integers(1_000, 300_000, count).astype(float),
    }
    seconds = best_of(
        lambda: (params(**sizes, trained_context=2048), flops(**sizes, context=2048, tokens=300 * 10**9)), 3
    )
    print(f"params and training FLOPs of {count:,} configurations as arrays: {seconds:.2f} s")
    one = {"layers": 96, "d_model": 12288, "heads": 96, "d_ff": 49152, "vocabulary": 50257, "trained_context": 2048}
    seconds = best_of(lambda: [params(**one) for _ in range(10_000)], 3)
    print(f"params one at a time: {10_000 / seconds:,.0f} a second")
    plain = tscale.load("gpt3")
    seconds = best_of(lambda: [parameters(tscale.lower(plain)).total for _ in range(1_000)], 5)
    print(f"by the ledger of one spec, one at a time: {1_000 / seconds:,.0f} a second")
    specs = [replace(plain, layers=96 + place) for place in range(1_000)]
    seconds = best_of(lambda: [parameters(lower(replace(one))).total for one in specs], 5)
    print(f"by ledgers of specs that are new, one at a time: {1_000 / seconds:,.0f} a second")
    seconds = best_of(lambda: [tscale.params(replace(one)).total for one in specs], 5)
    print(f"tscale.params of specs that are new, the whole way, checks and all: {1_000 / seconds:,.0f} a second")


SWEEPS: Final = {
    "params, 4 figures": (
        "params gpt3",
        ["set.layers=1..200", "set.d_model=96..9600+96", "set.d_ff=1024..1048576+1024"],
    ),
    "FLOPs, 2 figures": (
        "flops gpt3 --columns training_flops.exact,forward_flops_per_sequence.full",
        ["set.layers=1..100", "set.d_model=96..9600+96", "set.d_ff=1024..1048576+1024"],
    ),
    "FLOPs, 15 figures": ("flops gpt3", ["context=1..8192", "tokens=1e9..1e12+1e9"]),
    "memory, of batch and context": ("memory llama-3.1-8b", ["batch=1..1024", "context=1..8192"]),
    "train of a plan, of tokens": (
        "train gpt3 --gpu h100 --gpus 1024 --tensor 8 --pipeline 8 --batch 1536",
        ["tokens=1e9..4e14+1e9"],
    ),
}
"""The rows of the README's table of sweeps: a question, and what is varied."""


def sweeps_to_parquet() -> None:
    """The README's table: rows per second of one core that a sweep writes, and what 10^9 and 10^12 rows take of time and disk."""
    for name, (words, vary) in SWEEPS.items():
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "rows.parquet"
            command = ["sweep", *words.split(), *(word for axis in vary for word in ("--vary", axis)), "-o", str(out)]
            start = time.process_time()
            done = run(*command)
            seconds = time.process_time() - start
            assert done.code == 0, done.err
            files = sorted(out.rglob("*.parquet"))
            rows, size = dataset(files).count_rows(), sum(file.stat().st_size for file in files)
        cells = [f"{_span_of(many * seconds / rows)}, {_size_of(many * size / rows)}" for many in (10**9, 10**12)]
        print(f"| {name} | {float(f'{rows / seconds:.2g}'):,.0f} | {cells[0]} | {cells[1]} |")


def _span_of(seconds: float) -> str:
    for unit, each in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * each:
            return f"{float(f'{seconds / each:.2g}'):g} {unit}"
    return f"{seconds:.0f} seconds"


def _size_of(size: float) -> str:
    unit, each = ("TB", 1e12) if size >= 1e12 else ("GB", 1e9)
    return f"{float(f'{size / each:.2g}'):g} {unit}"


PLANS: Final = {
    "8 tensor, 64 data": Parallelism(tensor=8, data=64, zero=1),
    "8 tensor, 8 pipeline, 16 data": Parallelism(tensor=8, sequence=True, pipeline=8, data=16),
}
"""Two plans of GPT-3: of one stage, and of several."""


def plans() -> None:
    """One memory of training and one step time after another, on plain ints, as a search that is not compiled asks them."""
    for name, plan in PLANS.items():
        for what, rate in rates_of(plan).items():
            print(f"{what} of GPT-3, {name}: {rate:,.0f} a second")


def rates_of(plan: Parallelism, count: int = 50) -> dict[str, float]:
    """Answers a second: of a model that is new each time, and of plans of one that differ in their copies alone.

    Of the latter, whatever depends on the model and its cuts may be kept.
    """
    spec, cluster = resolve("gpt3"), find_hardware("h100").cluster()
    peak, ledger, run = cluster.device.flops_per_second["bf16"], lower(spec), run_of(spec, 2048)
    work = Workload(run, Batch(1536, 1), spec.d_model, "none", BITS, spec.parallel_block)
    each = [plan._replace(data=plan.data * 2 ** (place % 3)) for place in range(count)]
    training = Training(PRECISIONS["bf16"], OPTIMIZERS["adamw"], plan, run)

    def new_memory() -> int:
        return trainer(replace(spec), training, 2048).worst()[1].total

    def memory() -> list[int]:
        return [trainer(spec, training._replace(plan=one), 2048).worst()[1].total for one in each]

    def step() -> list[Fraction]:
        return [step_of(stages(spec, one, ledger), one, work, cluster, peak).seconds for one in each]

    return {
        "training memory, of a new spec": 1 / best_of(new_memory, 20),
        "training memory": count / best_of(memory, 5),
        "step time": count / best_of(step, 5),
    }


if __name__ == "__main__":
    start_up(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    depth_and_context()
    sweeps()
    sweeps_to_parquet()
    plans()
