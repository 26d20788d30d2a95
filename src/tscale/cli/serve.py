from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tscale.cli import options
from tscale.cli.options import Assume, Changes, Explain, Gpu, HardwareChanges, Model, OutputFormat, PlotTo, Price
from tscale.render import show_with_plot

if TYPE_CHECKING:
    from tscale.answers.serve_times import Draft

_Gpus = Annotated[str, typer.Option("--gpus", metavar="N", help="Devices that share each layer (tensor parallelism).")]
_Batch = Annotated[str, typer.Option("--batch", metavar="N", help="Batch size: sequences decoded concurrently.")]
_Prompt = Annotated[str, typer.Option("--context", metavar="N", help="Tokens of each prompt; 2k is 2048.")]
_Output = Annotated[str, typer.Option("--output", metavar="N", help="Tokens of each answer.")]
_Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype", metavar="FORMAT", help="Format of the weights: fp8, q4_k; default: as the file says, or bf16."
    ),
]
_CacheDtype = Annotated[
    str | None,
    typer.Option(
        "--cache-dtype",
        metavar="FORMAT",
        help="Format of the KV cache: fp8, q8_0; default: as the file says, or bf16.",
    ),
]
_Efficiency = Annotated[
    str, typer.Option("--efficiency", metavar="SHARE", help="Share of peak and bandwidth that is reached.")
]
_Prefix = Annotated[
    str | None,
    typer.Option("--prefix", metavar="N", help="Tokens of each prompt that are already in the KV cache: 1k, 50%."),
]
_Draft = Annotated[str | None, typer.Option("--draft", metavar="MODEL", help="A draft model (speculative decoding).")]
_DraftTokens = Annotated[
    str | None,
    typer.Option(
        "--draft-tokens", metavar="N", help="Draft tokens per round, 4 by default; they cost nothing without --draft."
    ),
]
_Acceptance = Annotated[
    str | None, typer.Option("--acceptance", metavar="SHARE", help="Probability that a draft token is accepted.")
]
_SplitCache = Annotated[
    Literal["heads", "sequences"],
    typer.Option("--split-cache", help="How devices divide the KV cache while decoding."),
]


def serve(
    model: Model,
    gpu: Gpu,
    gpus: _Gpus = "1",
    batch: _Batch = "1",
    context: _Prompt = "2k",
    output: _Output = "256",
    dtype: _Dtype = None,
    cache_dtype: _CacheDtype = None,
    efficiency: _Efficiency = "1",
    price: Price = None,
    prefix: _Prefix = None,
    draft: _Draft = None,
    draft_tokens: _DraftTokens = None,
    acceptance: _Acceptance = None,
    split_cache: _SplitCache = "heads",
    changes: Changes = [],
    assume: Assume = None,
    gpu_changes: HardwareChanges = [],
    plot: PlotTo = None,
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Bound the speed of serving a model, and its cost.

    The times are lower bounds, by the roofline of the hardware, and the answer says what sets them.
    """
    from tscale.answers.assumed import as_assumed
    from tscale.answers.plots.serve import serve_plot
    from tscale.answers.serve import serve_report
    from tscale.answers.serve_times import Ask
    from tscale.catalogue.hardware import find_hardware
    from tscale.cli.boundary import finish
    from tscale.core.dtypes import find_format
    from tscale.models.resolve import resolve

    reached = options.share(efficiency, "--efficiency")
    prompt = options.context(context)
    assert reached is not None
    assert prompt is not None
    ask = Ask(
        None if dtype is None else find_format(dtype, what="--dtype"),
        None if cache_dtype is None else find_format(cache_dtype, what="--cache-dtype", cache=True),
        options.degree(gpus, "--gpus"),
        options.degree(batch, "--batch"),
        prompt,
        options.size(output, "--output"),
        _cached(prefix, prompt),
        split_cache == "sequences",
        reached,
        options.number(price, "--price", 10**6, "2.50"),
        draft=_draft(draft, draft_tokens, acceptance),
    )
    spec, hardware = resolve(model, changes, assume), find_hardware(gpu, gpu_changes)
    report = as_assumed(serve_report(spec, hardware, ask), spec)
    show_with_plot(lambda: report, lambda: [serve_plot(spec, hardware, ask)], plot, format, explain=explain)
    finish(report)


def _cached(prefix: str | None, prompt: int) -> int:
    """Tokens of a prompt that are cached already: a number of them, or a share of the prompt, rounded down."""
    if prefix is None or not prefix.strip().endswith("%"):
        return 0 if prefix is None else options.size(prefix, "--prefix")
    share = options.share(prefix, "--prefix", "the prompt")
    assert share is not None
    return int(share * prompt)


def _draft(model: str | None, tokens: str | None, acceptance: str | None) -> "Draft | None":
    """What guesses, and how well; None where nothing does."""
    from tscale.answers.serve_times import Draft
    from tscale.errors import RequestError
    from tscale.models.resolve import resolve

    if model is None and tokens is None:
        if acceptance is not None:
            raise RequestError(
                "--acceptance is that of guesses: --draft names the model that guesses, or --draft-tokens how many"
            )
        return None
    chance = options.share(acceptance, "--acceptance", "the guesses")
    if chance is None:
        given = "--draft-tokens" if model is None else "--draft"
        raise RequestError(f"{given} needs --acceptance, the chance that a guessed token is accepted, such as 0.8")
    return Draft(None if model is None else resolve(model), options.degree(tokens or "4", "--draft-tokens"), chance)
