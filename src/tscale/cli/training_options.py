"""The options of `memory --train`, and the plan of devices that they come to."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tscale.cli import options
from tscale.cli.headings import PARALLELISM, TRAINING
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.core.parallelism import Parallelism

PrecisionOption = Annotated[
    Literal["bf16", "bf16-fp32-gradients", "pure-bf16", "fp16", "fp8", "fp32"],
    typer.Option(
        "--precision",
        rich_help_panel=TRAINING,
        help="Formats of weights, gradients, master weights and optimizer states.",
    ),
]
Optimizer = Annotated[
    Literal["adamw", "adam-8bit", "adafactor", "sgd", "lion", "muon"],
    typer.Option("--optimizer", rich_help_panel=TRAINING, help="The optimizer."),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        rich_help_panel=PARALLELISM,
        metavar="N",
        help="Copies of the model (data parallelism); by default as --gpus allows.",
    ),
]
Sequence = Annotated[
    bool,
    typer.Option(
        "--sequence",
        rich_help_panel=PARALLELISM,
        help="Sequence parallelism between the matrices of a layer (with --tensor).",
    ),
]
ContextParallel = Annotated[
    str,
    typer.Option(
        "--context-parallel",
        rich_help_panel=PARALLELISM,
        metavar="N",
        help="Devices that share a sequence (context parallelism).",
    ),
]
Expert = Annotated[
    str,
    typer.Option(
        "--expert",
        rich_help_panel=PARALLELISM,
        metavar="N",
        help="Devices of --data that routed experts are divided over (expert parallelism).",
    ),
]
Shards = Annotated[
    str | None,
    typer.Option(
        "--shards",
        rich_help_panel=PARALLELISM,
        metavar="N",
        help="Devices that ZeRO shards over, if not all (hybrid sharding).",
    ),
]
Recompute = Annotated[
    Literal["none", "selective", "full"],
    typer.Option(
        "--recompute",
        rich_help_panel=TRAINING,
        help="What the backward pass recomputes: attention scores, or whole layers.",
    ),
]
Attention = Annotated[
    Literal["flash", "naive"],
    typer.Option(
        "--attention", rich_help_panel=TRAINING, help="A fused kernel, or unfused attention that saves every score."
    ),
]
Loss = Annotated[
    Literal[
        "plain", "plain-kept", "eager", "hf-old", "bf16", "parallel", "in-place", "one-kernel", "chunked",
        "chunked-recomputed", "fused-linear", "fused",
    ]
    | None,
    typer.Option(
        "--loss", rich_help_panel=TRAINING,
        help="How the loss is computed: plain-kept (or eager) as transformers does, plain as torchtitan does, in-place as "
        "Megatron-LM does, fused-linear (or fused) as Liger does; by default as the common trainer of the plan does.",
    ),
]  # fmt: skip
Dropout = Annotated[bool, typer.Option("--dropout", rich_help_panel=TRAINING, help="Count dropout masks.")]
LoraRank = Annotated[
    str | None,
    typer.Option(
        "--lora-rank", rich_help_panel=TRAINING, metavar="N", help="Train adapters of this rank on a frozen model."
    ),
]
Qlora = Annotated[
    bool,
    typer.Option(
        "--qlora",
        rich_help_panel=TRAINING,
        help="Train adapters on a model frozen in nf4; rank 64 unless --lora-rank is given.",
    ),
]


def plan_of(
    gpus: str | None,
    *,
    data: str | None,
    tensor: str,
    sequence: bool,
    pipeline: str,
    interleave: str,
    context: str,
    expert: str,
    zero: str,
    shards: str | None,
) -> "Parallelism":
    """The plan over all GPUs. Raises `RequestError` where the degrees do not make up as many."""
    from tscale.core.parallelism import Parallelism, divisors, or_list

    plan = Parallelism(
        tensor=options.degree(tensor, "--tensor"),
        sequence=sequence,
        pipeline=options.degree(pipeline, "--pipeline"),
        interleave=options.degree(interleave, "--interleave"),
        zero=options.zero_stage(zero),
        shards=None if shards is None else options.degree(shards, "--shards"),
        context=options.degree(context, "--context-parallel"),
        expert=options.degree(expert, "--expert"),
    )
    given, copies = options.devices(gpus), None if data is None else options.degree(data, "--data")
    one = plan.devices
    if given is None:
        return plan._replace(data=copies or 1)
    if given % one:
        fitting = [ways for ways in divisors(given) if ways < one]
        raise RequestError(
            f"{given:,} GPUs are not a multiple of the {one:,} that --tensor, --pipeline and --context-parallel take: let "
            f"them take {or_list(fitting)}, or give {-(-given // one) * one:,} GPUs"
        )
    if copies is not None and copies * one != given:
        raise RequestError(
            f"{copies:,} copies of the model, each on {one:,} GPU{'s' if one > 1 else ''}, are not {given:,} GPUs: drop --data "
            "or --gpus"
        )
    return plan._replace(data=given // one)
