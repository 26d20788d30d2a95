"""What is varied of training layouts: the fields that only `plan --train` has."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from tscale.analysis import options, readers
from tscale.analysis.axes import varied
from tscale.analysis.media import WithMedia
from tscale.analysis.post_training import PostTraining
from tscale.analysis.request import Option, asked
from tscale.blocks.spec_dataclass import spec_dataclass

if TYPE_CHECKING:
    from tscale.core.axis import Axis
    from tscale.core.costs.states import Offload
    from tscale.core.recompute import Again
    from tscale.core.roles import Role


def _offload(text: str, what: str) -> frozenset[Offload]:
    """What the host keeps: nothing, or parts joined by +."""
    return frozenset() if text == "none" else readers.offload(text.replace("+", ","), what)


def _again(text: str, what: str) -> Again:
    """What is computed again; full:K stands for the first layers of each stage, as few as fit."""
    from tscale.core.recompute import FEWEST, Again

    return Again("full", FEWEST) if text.strip() == "full:K" else readers.again(text, what)


@spec_dataclass
class TrainingAxes(PostTraining, WithMedia):
    """The run, and the axes of its layouts; one that is None varies as it does by default."""

    tokens: int | None = asked(options.TOKENS._replace(heading=options.TRAINING))
    context: int | None = asked(options.CONTEXT._replace(heading=options.TRAINING))
    days: Fraction | None = asked(
        options.DAYS._replace(help="Find the fewest devices that train in so many days.", heading=options.TRAINING)
    )
    dollars: Fraction | None = asked(
        Option(
            "Find the most tokens for so many US dollars of GPU-hours.",
            "USD",
            readers.number(10**15, "1e6"),
            heading=options.TRAINING,
        )
    )
    lora_rank: int | None = asked(options.LORA_RANK)
    lora_targets: frozenset[Role] | None = asked(options.LORA_TARGETS._replace(heading=options.TRAINING))
    qlora: bool = asked(options.QLORA, False)
    stack: str = asked(options.STACK._replace(help="Choose the training stack that steps are predicted on."), "current")
    attention: str = asked(options.ATTENTION, "flash")
    attention_kernel: str | None = asked(options.ATTENTION_KERNEL)
    sequence: Axis | None = asked(
        varied(options.SEQUENCE, "Vary sequence parallelism: true, false or both; by default both.")
    )
    context_parallel: Axis | None = asked(
        varied(options.CONTEXT_PARALLEL, "Vary the devices that share a sequence (context parallelism).")
    )
    interleave: Axis | None = asked(varied(options.INTERLEAVE, "Vary the model chunks of each stage."))
    stages: tuple[int, ...] | None = asked(
        options.STAGES._replace(
            help="Set the layers of each pipeline stage, or of each piece with --interleave, such as 31,32,32,31; by default as even as "
            "possible, and some that relieve the first and last stage.",
            heading=options.TRAINING,
        )
    )
    schedule: Axis | None = asked(
        varied(options.SCHEDULE, "Vary the order of a pipeline: 1f1b, interleaved, zero-bubble, dualpipe.")
    )
    data: Axis | None = asked(varied(options.DATA, "Vary the copies of the model (data parallelism)."))
    zero: Axis | None = asked(varied(options.ZERO, "Vary the ZeRO stage, 0 to 3; 3 is FSDP."))
    shards: Axis | None = asked(varied(options.SHARDS, "Vary the devices that ZeRO shards over (hybrid sharding)."))
    micro_batch: Axis | None = asked(varied(options.MICRO_BATCH, "Vary the sequences of a micro-batch."))
    recompute: Axis | None = asked(
        varied(
            options.RECOMPUTE._replace(read=_again),
            "Vary what the backward pass recomputes: none, selective, op, full; full:8 is the first 8 layers of each stage, full:K as few "
            "as fit.",
        )
    )
    loss: Axis | None = asked(varied(options.LOSS, "Vary how the loss is computed; see `tscale train -h`."))
    precision: Axis | None = asked(varied(options.PRECISION, "Vary the formats: bf16, fp8, and others of `train`."))
    optimizer: Axis | None = asked(varied(options.OPTIMIZER, "Vary the optimizer: adamw, muon, and others of `train`."))
    offload: Axis | None = asked(
        varied(
            options.OFFLOAD._replace(read=_offload),
            "Vary what the host keeps: none, weights, states, activations, or several joined by +.",
        )
    )
