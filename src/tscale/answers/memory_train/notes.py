"""Why a training device has room or not, what is assumed of it, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.answers.capacity import capacity_notes, left_out
from tscale.answers.memory.tables import no_change_note
from tscale.answers.memory_train.media import trained_media_notes
from tscale.blocks import attentions
from tscale.catalogue.hardware import Hardware
from tscale.catalogue.judged import certainly_judged
from tscale.core.costs.activations import LEAVES_OUT as ACTIVATIONS_LEAVE_OUT
from tscale.core.costs.reserve import PEAKS_WITHIN
from tscale.core.costs.schedules import in_flight
from tscale.core.costs.training_memory import LEAVES_OUT
from tscale.core.loss_kernels import KERNELS, OF_TRANSFORMERS, default_kernel
from tscale.core.metric import Detail
from tscale.core.number_text import gigabytes
from tscale.estimates.explaining import streams_note
from tscale.estimates.judged import error_text
from tscale.estimates.memory_train.ask import Ask
from tscale.estimates.memory_train.held import Held
from tscale.estimates.memory_train.lines import MOMENTS
from tscale.models.trainer import Trainer


def _loss_note(model: Trainer, ask: Ask) -> Iterator[str]:
    """Which loss is counted and why, and what it takes; the total has what an allocator reserves for it."""
    taken = model.loss(ask.how.plan.pipeline - 1)
    if taken is None:
        return
    kernel = KERNELS[model.training.loss_kernel]
    default = default_kernel(ask.how.plan, adapters=ask.how.rank is not None)
    why = f", {default.why} (default; --loss)" if ask.how.loss is None else ""
    kept, live, reserved = (gigabytes(value, 3) for value in taken)
    yield (
        f"loss: {kernel.name}{why}: {kernel.does}. It saves {kept} for its backward pass, {live} are live at its peak, and an "
        f"allocator reserves {reserved}, which the total counts."
    )


def _least_note(model: Trainer) -> str:
    """What the total at the least counts."""
    dropped = ", of a trainer that drops the model's output before the backward pass, as transformers' Trainer does"
    many = model.training.micro_batches
    later = (
        ""
        if many is not None and many > 1
        else ", without gradients, which may come later, or all gradients, if these are more"
    )
    return (
        "The total at the least counts weights and states, what fused kernels save, and what the loss has live at its peak"
        f"{dropped if model.training.loss_kernel in OF_TRANSFORMERS else ''}{later}: no framework's copies, and nothing that an allocator "
        "has reserved and can give back."
    )


def notes_held(held: Held) -> Iterator[str]:
    """Why it fits or does not, what is assumed, and what is left out."""
    ask, most, capacity = held.one.ask, held.one.most, held.one.capacity
    if ask.hardware is not None and capacity is not None:
        yield from capacity_notes(capacity, ask.hardware, held.one.total, held.one.least)
        if not capacity.fits(held.one.total) and not held.options:
            yield no_change_note(capacity.verdict(held.one.total, held.one.least), pairs=True)
    yield from _loss_note(held.one.model, ask)
    yield from trained_media_notes(held.one)
    if held.one.least < held.one.total:
        yield Detail(_least_note(held.one.model))
    yield f"{ask.how.precision.name}: {ask.how.precision.note}. {ask.how.optimizer.name}: {ask.how.optimizer.note}."
    if most.comes_later:
        yield (
            "A step of one micro-batch has no gradients before its backward pass (torch's zero_grad lets them go): those are counted that "
            "stand beside the activations at the most."
        )
    yield from _adapter_notes(held.one.model, ask)
    yield from _spread_notes(held)
    yield from _attention_notes(held.one.model, ask)
    yield from _policy_notes(ask)
    moment = ", ".join(MOMENTS[line.name] for line in most.temporary.lines)
    when = "at the loss" if most.logits.lines else "in the backward pass of a layer, after the logits are freed"
    yield Detail(f"Largest temporary, {when}: {moment}.")
    yield Detail(ACTIVATIONS_LEAVE_OUT)
    error = certainly_judged("memory", "training")
    assert error.held_share is not None
    yield (
        f"The total: {error_text(error, 'measured peaks and longest contexts')}; a factor of {float(PEAKS_WITHIN)}, and fragments on several "
        f"devices, hold {error.held_share:.0%} of them."
    )
    yield left_out(capacity, LEAVES_OUT)


def _adapter_notes(model: Trainer, ask: Ask) -> Iterator[str]:
    """What adapters stand on, and what the frozen model is kept in."""
    if ask.how.rank is None:
        return
    base = model.training.weights_format.name
    if model.training.prepared:
        yield (
            f"What is not in {base} (tables, head, norms) is in fp32, and so are the residual stream and the logits in the output, "
            "as peft's prepare_model_for_kbit_training and transformers' Trainer in mixed precision have it."
        )
    having = (
        "Every matrix of the layers except routers has an adapter (Dettmers 2023)"
        if ask.how.lora_targets is None
        else f"The matrices {', '.join(sorted(ask.how.lora_targets))} have adapters"
    )
    yield (
        f"{having}. The model itself is frozen in {base} and has "
        "no gradients; the inputs of its matrices are saved where adapters read them. What a kernel "
        "recomputes (Mamba) it is assumed to recompute for the adapters too."
    )


def _spread_notes(held: Held) -> Iterator[str]:
    """Which stage the figures are of, and how tokens are spread over experts."""
    plan, stage = held.one.ask.how.plan, held.one.stage
    if plan.pipeline > 1:
        flying, pieces = in_flight(stage, plan, held.one.model.training.micro_batches)
        what = (
            f"{flying} micro-batches"
            if pieces == 1
            else f"{flying} pieces of micro-batches, each of 1/{pieces} of its layers"
        )
        yield f"The figures are of stage {stage + 1} of {plan.pipeline}, the fullest, with {what} in flight."
    if plan.expert > 1 or any(getattr(entry, "experts", 1) > 1 for entry in held.one.model.shares[stage].entries):
        yield "Tokens are assumed to be spread evenly over experts: what one expert gets beyond that is not counted."
    if held.one.model.spec.kind == "encoder-decoder":
        yield streams_note(held.one.model.spec)


def _attention_notes(model: Trainer, ask: Ask) -> Iterator[str]:
    """What is saved of scores, and that dropout is not counted."""
    if not ask.how.dropout:
        yield "Without dropout; --dropout adds its masks."
    if ask.how.attention == "naive" and any(attentions(model.spec.mixers)):
        yield "Unfused attention saves the scores of every pair, masked or outside the window as well."
    if ask.how.attention == "flash" and ask.how.recompute != "full" and model.spec.positions.kind == "relative":
        yield (
            "Scores of distances are assumed to be recomputed by a fused kernel, of which none is known to be published; a kernel that "
            "reads them as a mask saves every pair, as --attention naive does."
        )


def _policy_notes(ask: Ask) -> Iterator[str]:
    """What policies of recomputation, kernels, offload and the step mean for what is counted."""
    if ask.how.recompute == "op":
        yield "Recomputing by product, as torchtitan does: the outputs of attention and of every second matrix product are saved."
    if ask.how.again is not None and ask.how.again.of_some:
        which = "the first layers of each stage" if ask.how.again.layers is None else "the layers that are named"
        yield f"--recompute {ask.how.again.text} is about {which}; the others save all."
    if ask.how.kernels != "fused":
        how = "transformers" if ask.how.kernels == "eager" else "torch without a fused kernel"
        yield f"Norms, gates and activations are computed step by step, as {how} does, and save what lies between the steps."
    if ask.how.offload:
        yield (
            f"The host keeps {', '.join(sorted(ask.how.offload))}; what is on its way is counted here, what the host needs is "
            f"not.{_host(ask.hardware)}"
        )
    if ask.how.optimizer_in_backward:
        yield "The optimizer steps in the backward pass: the largest gradient alone is kept."


def _host(hardware: Hardware | None) -> str:
    """What is known of the host of a device, in a sentence; nothing where nothing is."""
    if hardware is None:
        return ""
    said = [
        *([] if hardware.host_memory_gb is None else [f"has {hardware.host_memory_gb:g} GB for each device"]),
        *(
            []
            if hardware.host_link_gb_per_s is None
            else [f"is reached at {hardware.host_link_gb_per_s:g} GB/s each way"]
        ),
    ]
    return f" The host of {hardware.label} {' and '.join(said)}." if said else ""
