from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tscale.cli import options
from tscale.cli.options import (
    Assume,
    Changes,
    Context,
    Explain,
    Gpu,
    Gpus,
    HardwareChanges,
    Interleave,
    Mfu,
    MicroBatch,
    Model,
    OutputFormat,
    Pipeline,
    Price,
    Tensor,
    Tokens,
    Zero,
)
from tscale.render import show

if TYPE_CHECKING:
    from tscale.core.costs.step_time import Batch
    from tscale.core.parallelism import Parallelism

_Speed = Annotated[
    str | None, typer.Option("--tokens-per-second", metavar="N", help="Measured throughput of all devices.")
]
_Days = Annotated[str | None, typer.Option("--days", metavar="N", help="How long training may take, or took.")]
_Dtype = Annotated[
    Literal["fp32", "bf16", "fp16", "fp8", "int8", "fp4"] | None,
    typer.Option("--dtype", help="Format of the matrix products; default: 16 bits."),
]
_Recompute = Annotated[
    Literal["none", "selective", "full"],
    typer.Option("--recompute", help="What the backward pass recomputes: scores, or whole layers."),
]
_Watts = Annotated[str | None, typer.Option("--watts", metavar="W", help="Power draw of a device; default: its TDP.")]
_Pue = Annotated[
    str,
    typer.Option(
        "--pue", metavar="N", help="Power usage effectiveness: energy of the data centre over that of its devices."
    ),
]
_Batch = Annotated[
    str | None,
    typer.Option(
        "--batch", metavar="N", help="Sequences per step (global batch size): gives the bounds of a parallel plan."
    ),
]
_Grid = Annotated[
    str | None, typer.Option("--grid", metavar="G", help="Grams of CO2e per kWh, or a country: 400, france.")
]


def train(
    model: Model,
    gpu: Gpu,
    tokens: Tokens = None,
    gpus: Gpus = None,
    days: _Days = None,
    mfu: Mfu = None,
    tokens_per_second: _Speed = None,
    context: Context = None,
    dtype: _Dtype = None,
    recompute: _Recompute = "none",
    price: Price = None,
    watts: _Watts = None,
    pue: _Pue = "1",
    grid: _Grid = None,
    tensor: Tensor = "1",
    pipeline: Pipeline = "1",
    interleave: Interleave = "1",
    zero: Zero = "0",
    batch: _Batch = None,
    micro_batch: MicroBatch = "1",
    changes: Changes = [],
    assume: Assume = None,
    gpu_changes: HardwareChanges = [],
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Estimate the time, cost and energy of training.

    With --days, it estimates how many GPUs finish in time.
    """
    from tscale.answers.assumed import as_assumed
    from tscale.answers.train import Ask, train_report
    from tscale.catalogue.hardware import find_hardware
    from tscale.cli.boundary import finish
    from tscale.errors import RequestError
    from tscale.models.resolve import resolve

    share_of_building = options.number(pue, "--pue", 10, "1.1")
    assert share_of_building is not None
    if share_of_building < 1:
        raise RequestError(f"--pue is at least 1, the devices themselves, not {pue[:40]}")
    grams, whose = _emitted(grid)
    plan, sequences = _planned(gpus, tensor, pipeline, interleave, zero, batch, micro_batch)
    ask = Ask(
        tokens=options.tokens(tokens),
        context=options.context(context),
        gpus=options.devices(gpus),
        mfu=options.share(mfu, "--mfu"),
        tokens_per_second=options.number(tokens_per_second, "--tokens-per-second", 10**15),
        days=options.number(days, "--days", 10**6, "30"),
        dtype=dtype,
        recompute=recompute,
        price=options.number(price, "--price", 10**6, "2.50"),
        watts=options.number(watts, "--watts", 10**6, "700"),
        pue=share_of_building,
        grid=grams,
        grid_source=whose,
        plan=plan,
        batch=sequences,
        words=options.words_of(model, changes, assume, gpu, gpu_changes),
    )
    spec, hardware = resolve(model, changes, assume), find_hardware(gpu, gpu_changes)
    report = as_assumed(train_report(spec, hardware, ask), spec)
    show(report, format, explain=explain)
    finish(report)


def _emitted(grid: str | None) -> tuple[Fraction | None, str]:
    """--grid: grams of CO2e per kWh, and where that is from: given, or a country's."""
    from tscale.catalogue.measured import grid_of

    if grid is None or not grid.strip() or grid.strip()[0].isdigit() or grid.strip()[0] in "-+.":
        return options.number(grid, "--grid", 10**4, "400"), ""
    return grid_of(grid)


def _planned(
    gpus: str | None, tensor: str, pipeline: str, interleave: str, zero: str, batch: str | None, micro_batch: str
) -> "tuple[Parallelism | None, Batch | None]":
    """The parallel plan over all GPUs, and the batch; of neither where none is asked for."""
    from tscale.core.costs.step_time import Batch
    from tscale.core.parallelism import Parallelism
    from tscale.errors import RequestError

    ways = [options.degree(tensor, "--tensor"), options.degree(pipeline, "--pipeline")]
    pieces, stage = options.degree(interleave, "--interleave"), options.zero_stage(zero)
    micro = options.degree(micro_batch, "--micro-batch")
    if batch is None:
        if (*ways, pieces, stage, micro) != (1, 1, 1, 0, 1):
            raise RequestError("a parallel plan needs --batch, the sequences of a step")
        return None, None
    devices = options.devices(gpus)
    if devices is None:
        raise RequestError("a parallel plan needs --gpus, the devices that it is spread over")
    if devices % (ways[0] * ways[1]):
        raise RequestError(
            f"{devices} GPUs are not {ways[0]} tensor by {ways[1]} pipeline devices by copies of the model: "
            f"make it a multiple of {ways[0] * ways[1]}"
        )
    plan = Parallelism(ways[0], pipeline=ways[1], interleave=pieces, data=devices // (ways[0] * ways[1]), zero=stage)
    return plan, Batch(options.degree(batch, "--batch"), micro)
