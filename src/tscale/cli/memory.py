from functools import partial
from typing import Annotated

import typer

from tscale.cli import options
from tscale.cli import training_options as training
from tscale.cli.headings import SERVING
from tscale.cli.options import (
    Assume,
    Changes,
    Context,
    Explain,
    Gpus,
    HardwareChanges,
    Interleave,
    MicroBatch,
    Model,
    OutputFormat,
    Pipeline,
    PlotTo,
    Tensor,
    Zero,
)
from tscale.errors import RequestError
from tscale.render import show_with_plot

_Gpu = Annotated[
    str | None,
    typer.Option(
        "--gpu", metavar="NAME", help="The hardware that it must fit on: h100, a YAML file; see `list hardware`."
    ),
]
_Serve = Annotated[bool, typer.Option("--serve", help="Memory of serving (default).")]
_Train = Annotated[bool, typer.Option("--train", help="Memory of training.")]
_Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        rich_help_panel=SERVING,
        metavar="FORMAT",
        help="Format of the weights: fp8, q4_k, int4-g64; by default that of the release, or bf16.",
    ),
]
_CacheDtype = Annotated[
    str | None,
    typer.Option(
        "--cache-dtype",
        rich_help_panel=SERVING,
        metavar="FORMAT",
        help="Format of the KV cache, such as fp8; by default that of the release, or 16 bits.",
    ),
]
_Batch = Annotated[str, typer.Option("--batch", rich_help_panel=SERVING, metavar="N", help="Batch size, in sequences.")]
_Page = Annotated[
    str | None,
    typer.Option(
        "--page", rich_help_panel=SERVING, metavar="N", help="Page the cache in blocks of N tokens, such as 16."
    ),
]
_Chunk = Annotated[
    str,
    typer.Option("--chunk", rich_help_panel=SERVING, metavar="N", help="Prompt tokens of a step (chunked prefill)."),
]
_MemoryShare = Annotated[
    str | None,
    typer.Option(
        "--memory-share", metavar="SHARE", help="Usable share of the memory, such as 90%, instead of a reserve."
    ),
]


def memory(
    model: Model,
    gpu: _Gpu = None,
    gpus: Gpus = None,
    serve: _Serve = False,
    train: _Train = False,
    dtype: _Dtype = None,
    cache_dtype: _CacheDtype = None,
    batch: _Batch = "1",
    context: Context = None,
    page: _Page = None,
    chunk: _Chunk = "2048",
    memory_share: _MemoryShare = None,
    precision: training.PrecisionOption = "bf16",
    optimizer: training.Optimizer = "adamw",
    micro_batch: MicroBatch = "1",
    recompute: training.Recompute = "none",
    attention: training.Attention = "flash",
    loss: training.Loss = None,
    dropout: training.Dropout = False,
    data: training.Data = None,
    zero: Zero = "0",
    shards: training.Shards = None,
    tensor: Tensor = "1",
    sequence: training.Sequence = False,
    pipeline: Pipeline = "1",
    interleave: Interleave = "1",
    context_parallel: training.ContextParallel = "1",
    expert: training.Expert = "1",
    lora_rank: training.LoraRank = None,
    qlora: training.Qlora = False,
    changes: Changes = [],
    assume: Assume = None,
    gpu_changes: HardwareChanges = [],
    plot: PlotTo = None,
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Show the memory of serving or training on each device.

    With --gpu, it says whether the model fits, and the largest batch and context that would.
    """
    from tscale.answers.assumed import as_assumed
    from tscale.answers.plots.memory import memory_plot, memory_train_plot
    from tscale.catalogue.hardware import find_hardware
    from tscale.cli.boundary import finish
    from tscale.models.resolve import resolve

    if gpu is None and (gpu_changes or memory_share is not None):
        raise RequestError("--gpu-set and --memory-share are read with --gpu only: add it, or drop them")
    if serve and train:
        raise RequestError("--serve or --train: give one of them, not both")
    serving = {
        "--dtype": dtype is not None,
        "--cache-dtype": cache_dtype is not None,
        "--batch": batch != "1",
        "--page": page is not None,
        "--chunk": chunk != "2048",
    }
    of_training = {
        "--precision": precision != "bf16",
        "--optimizer": optimizer != "adamw",
        "--micro-batch": micro_batch != "1",
        "--recompute": recompute != "none",
        "--attention": attention != "flash",
        "--loss": loss is not None,
        "--dropout": dropout,
        "--data": data is not None,
        "--zero": zero != "0",
        "--shards": shards is not None,
        "--tensor": tensor != "1",
        "--sequence": sequence,
        "--pipeline": pipeline != "1",
        "--interleave": interleave != "1",
        "--context-parallel": context_parallel != "1",
        "--expert": expert != "1",
        "--lora-rank": lora_rank is not None,
        "--qlora": qlora,
    }
    for option, given in (serving if train else of_training).items():
        if given and train:
            raise RequestError(f"{option} is of serving: drop it{_INSTEAD.get(option, '')}, or drop --train")
        if given:
            raise RequestError(f"{option} is of training: add --train, or drop it")
    hardware = None if gpu is None else find_hardware(gpu, gpu_changes)
    portion = options.share(memory_share, "--memory-share", "the memory")
    spec = resolve(model, changes, assume)
    if train:
        from tscale.answers.memory_train import MOST_MICRO_BATCH, memory_train_report, train_ask
        from tscale.core.tracing import parse_count

        plan = training.plan_of(
            gpus,
            data=data,
            tensor=tensor,
            sequence=sequence,
            pipeline=pipeline,
            interleave=interleave,
            context=context_parallel,
            expert=expert,
            zero=zero,
            shards=shards,
        )
        trained = train_ask(
            precision=precision,
            optimizer=optimizer,
            plan=plan,
            micro_batch=parse_count(micro_batch, what="--micro-batch", most=MOST_MICRO_BATCH),
            context=options.context(context),
            attention=attention,
            recompute=recompute,
            loss=loss,
            dropout=dropout,
            rank=None if lora_rank is None else options.size(lora_rank, "--lora-rank"),
            qlora=qlora,
            memory_share=portion,
            hardware=hardware,
        )
        report = as_assumed(memory_train_report(spec, trained), spec)
        drawn = partial(memory_train_plot, spec, trained)
    else:
        from tscale.answers.memory import MOST_BATCH, Ask, memory_report
        from tscale.core.dtypes import find_format
        from tscale.core.tracing import parse_count

        served = Ask(
            None if dtype is None else find_format(dtype, what="--dtype"),
            None if cache_dtype is None else find_format(cache_dtype, what="--cache-dtype", cache=True),
            parse_count(batch, what="--batch", most=MOST_BATCH),
            options.context(context),
            None if page is None else options.size(page, "--page"),
            options.size(chunk, "--chunk"),
            options.devices(gpus) or 1,
            portion,
            hardware,
        )
        report = as_assumed(memory_report(spec, served), spec)
        drawn = partial(memory_plot, spec, served)
    show_with_plot(lambda: report, lambda: [drawn()], plot, format, explain=explain)
    finish(report)


_INSTEAD = {"--dtype": ", or give --precision", "--batch": ", or give --micro-batch"}
"""What training has in the place of an option of serving."""
