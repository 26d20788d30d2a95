"""Options of Megatron-LM as overrides of Megatron-Bridge, the training library of the NeMo Framework, whose core is the same.

Names are those of its ConfigContainer (commit 067f987 of August 2026: scripts/translate_mlm_to_bridge.py,
scripts/training/README.md, training/config.py, training/mixed_precision.py). An override changes a recipe, so that what Megatron-LM has
not unless it is told to is said too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote, split
from typing import Final

from tscale.planning.framework_options import Job, option_of
from tscale.planning.layouts import Layout
from tscale.planning.megatron_flags import megatron

_SECTIONS: Final = {
    "train": ("micro-batch-size", "global-batch-size"),
    "ddp": (
        "overlap-grad-reduce",
        "overlap-param-gather",
        "data-parallel-sharding-strategy",
        "num-distributed-optimizer-instances",
    ),
    "checkpoint": ("ckpt-format",),
    "optimizer": ("optimizer", "optimizer-cpu-offload", "use-precision-aware-optimizer"),
    "mixed_precision": ("bf16", "fp8-param-gather"),
}
"""Options of Megatron-LM that have their own name in another section than `model`."""
_FIELDS: Final = {
    **{name: (f"{section}.{name.replace('-', '_')}",) for section, names in _SECTIONS.items() for name in names},
    "num-virtual-stages-per-pipeline-rank": ("model.virtual_pipeline_model_parallel_size",),
    "decoder-first-pipeline-num-layers": ("model.num_layers_in_first_pipeline_stage",),
    "decoder-last-pipeline-num-layers": ("model.num_layers_in_last_pipeline_stage",),
    "use-distributed-optimizer": ("ddp.use_distributed_optimizer", "optimizer.use_distributed_optimizer"),
    "use-megatron-fsdp": ("ddp.use_megatron_fsdp", "dist.use_megatron_fsdp"),
    "fp8-format": ("mixed_precision.fp8",),
}
"""Fields of Megatron-Bridge for options of Megatron-LM whose name is another one, or which stand twice."""
_OTHERWISE: Final = {
    "--no-gradient-accumulation-fusion": ["model.gradient_accumulation_fusion=false"],
    "--grad-reduce-in-bf16": ["mixed_precision.grad_reduce_in_fp32=false"],
}
_UNSAID: Final = {
    "--sequence-parallel": ["model.sequence_parallel=false"],
    "--context-parallel-size": ["model.context_parallel_size=1"],
    "--num-virtual-stages-per-pipeline-rank": ["model.virtual_pipeline_model_parallel_size=null"],
    "--use-distributed-optimizer": ["ddp.use_distributed_optimizer=false", "optimizer.use_distributed_optimizer=false"],
    "--recompute-granularity": ["model.recompute_granularity=null"],
    "--grad-reduce-in-bf16": ["mixed_precision.grad_reduce_in_fp32=true"],
}
"""What a recipe may have and Megatron-LM has not unless it is told to."""
_PRECISIONS: Final = dict.fromkeys(("bf16", "bf16-fp32-gradients", "fp8-bf16-gradients"), "")
"""Those that recipes have."""


def bridge(layout: Layout, job: Job) -> Iterator[str]:
    """Megatron-LM's options as fields of Megatron-Bridge. Raises `NoOptionError` for what Megatron-LM has none for, or no recipe has."""
    words = split(" ".join(megatron(layout, job)))
    option_of(_PRECISIONS, layout.precision, "precision")
    nodes = max(layout.plan.devices // job.per_node, 1)
    yield f"--nodes {nodes} --gpus-per-node {layout.plan.devices // nodes}"
    yield from overrides(words)
    yield f"dataset.seq_length={job.context}"


def overrides(words: Sequence[str]) -> Iterator[str]:
    """The fields that say the same as words of Megatron-LM's command line, in their order; then those of what these leave out.

    Example:
        >>> next(overrides(["--tensor-model-parallel-size", "4", "--sequence-parallel"]))
        'model.tensor_model_parallel_size=4'
    """
    for place, word in enumerate(words):
        if word in _OTHERWISE:
            yield from _OTHERWISE[word]
        elif word.startswith("--"):
            following = words[place + 1] if place + 1 < len(words) else "--"
            value = "true" if following.startswith("--") else following
            for field in _FIELDS.get(word[2:], (f"model.{word[2:].replace('-', '_')}",)):
                yield f"{field}={quote(value)}"
    laid_out = "--pipeline-model-parallel-layout" in words  # which says how many pieces a stage has
    for word, fields in _UNSAID.items():
        if word not in words and not (laid_out and "virtual" in word):
            yield from fields
    if "--fp8-format" in words:  # Megatron-LM's own, where Megatron-Bridge has another
        yield "mixed_precision.fp8_recipe=delayed"
