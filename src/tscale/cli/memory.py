from typing import Annotated

import typer

from tscale.cli import options
from tscale.cli.options import Assume, Changes, Context, Explain, Gpus, HardwareChanges, Model, OutputFormat
from tscale.errors import RequestError
from tscale.render import show

_Gpu = Annotated[
    str | None,
    typer.Option("--gpu", metavar="NAME", help="Whether it fits on this: h100, a YAML file; `list hardware` names it."),
]
_Serve = Annotated[bool, typer.Option("--serve", help="Memory of serving, which is what is told anyway.")]
_Dtype = Annotated[
    str,
    typer.Option(
        "--dtype", metavar="FORMAT", help="What weights are kept in, such as fp8 or q4_k; `list formats` names all."
    ),
]
_CacheDtype = Annotated[
    str | None,
    typer.Option(
        "--cache-dtype", metavar="FORMAT", help="What the KV cache is kept in, such as fp8; 16 bits where absent."
    ),
]
_Batch = Annotated[str, typer.Option("--batch", metavar="N", help="Sequences that are served at once.")]
_Page = Annotated[
    str | None, typer.Option("--page", metavar="N", help="Keep the cache in blocks of so many tokens, such as 16.")
]
_Chunk = Annotated[str, typer.Option("--chunk", metavar="N", help="Prompt tokens that a step takes at a time.")]
_MemoryShare = Annotated[
    str | None,
    typer.Option("--memory-share", metavar="SHARE", help="How much of the memory may be used; 90% where absent."),
]


def memory(
    model: Model,
    gpu: _Gpu = None,
    gpus: Gpus = None,
    serve: _Serve = False,  # noqa: ARG001 (said for clarity: nothing else is told yet)
    dtype: _Dtype = "bf16",
    cache_dtype: _CacheDtype = None,
    batch: _Batch = "1",
    context: Context = None,
    page: _Page = None,
    chunk: _Chunk = "2048",
    memory_share: _MemoryShare = None,
    changes: Changes = [],
    assume: Assume = None,
    gpu_changes: HardwareChanges = [],
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Show what serving a model keeps in memory, whether it fits, the largest batch and the longest context."""
    from tscale.answers.memory import MOST_BATCH, Ask, memory_report
    from tscale.cli.boundary import finish
    from tscale.core.formats import find_format
    from tscale.core.numbers import parse_count
    from tscale.spec.hardware import find_hardware
    from tscale.spec.resolve import resolve

    if gpu is None and (gpu_changes or memory_share is not None):
        raise RequestError("--gpu-set and --memory-share are read with --gpu only: add it, or drop them")
    ask = Ask(
        find_format(dtype, what="--dtype"),
        None if cache_dtype is None else find_format(cache_dtype, what="--cache-dtype", cache=True),
        parse_count(batch, what="--batch", most=MOST_BATCH),
        options.context(context),
        None if page is None else options.size(page, "--page"),
        options.size(chunk, "--chunk"),
        options.devices(gpus) or 1,
        options.share(memory_share, "--memory-share", "the memory"),
        None if gpu is None else find_hardware(gpu, gpu_changes),
    )
    report = memory_report(resolve(model, changes, assume), ask)
    show(report, format, explain=explain)
    finish(report)
