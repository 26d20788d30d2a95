"""`memory`: what a device holds while it serves or trains a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from tscale.analysis import options, readers
from tscale.analysis.found import draft_of, hardware_of
from tscale.analysis.layout import WAYS, layout_of
from tscale.analysis.media import WithMedia
from tscale.analysis.of_model import OfModel
from tscale.analysis.post_training import NAMES, PostTraining
from tscale.analysis.request import Option, asked, spelled
from tscale.analysis.spread import DEGREES, NO_ADAPTERS, POLICIES, Spread
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.catalogue.hardware import Hardware
    from tscale.core.costs.kernel_padding import Kernel
    from tscale.core.dtypes import Dtype
    from tscale.core.metric import Data, Report
    from tscale.core.plot import Plot
    from tscale.estimates.memory.serving import Ask as Serving
    from tscale.estimates.memory_train.ask import Ask as Training
    from tscale.models.adapter_spec import Adapter
    from tscale.models.spec import ModelSpec
    from tscale.models.tower_spec import TowerSpec

_SERVING: Final = (
    "dtype", "cache_dtype", "state_dtype", "cache_form", "window_cache", "split_cache", "page", "chunk", "prefix",
    "draft", "draft_tokens", "padding", "attention_data", "replicas",
)  # fmt: skip
_TRAINING: Final = (
    *POLICIES, *(name for name in DEGREES if name not in WAYS), "lora_rank", "lora_targets", "qlora", "method", *NAMES,
)  # fmt: skip
_INSTEAD: Final = {"dtype": ", or give --precision"}
"""What training has in the place of an option of serving."""
GUESSES: Final = 4
"""Tokens that a draft guesses in a round, where nothing is said."""


@spec_dataclass
class Ask(PostTraining, Spread, WithMedia, OfModel):
    """Show the memory of serving or training on each device.

    With --gpu, it says whether the model fits, and the largest batch and context that would.
    """

    command = "memory"

    gpu: str | Hardware | Mapping[str, Any] | None = asked(
        options.GPU._replace(
            help="Name the hardware that it must fit on: h100, a YAML file, or here (the GPU of this machine); see `tscale list hardware`."
        )
    )
    gpu_set: tuple[str, ...] = asked(options.GPU_SET, ())
    serve: bool = asked(Option("Show the memory of serving (default).", kind="flag"), False)
    train: bool = asked(Option("Show the memory of training.", kind="flag"), False)
    context: int | None = asked(options.CONTEXT)
    batch: int | None = asked(
        Option("Set the batch size, in sequences; with --train, those of a step over all devices.", "N", readers.batch)
    )
    memory_share: Fraction | None = asked(options.MEMORY_SHARE)
    dtype: Dtype | None = asked(options.DTYPE)
    cache_dtype: Dtype | None = asked(options.CACHE_DTYPE)
    page: int | None = asked(
        Option("Page the cache in blocks of N tokens, such as 16.", "N", readers.size, heading=options.SERVING)
    )
    chunk: int | None = asked(
        Option(
            "Set the prompt tokens of a step (chunked prefill); by default as vLLM's server does on the hardware.",
            "N",
            readers.size,
            heading=options.SERVING,
        )
    )
    state_dtype: str | None = asked(options.STATE_DTYPE)
    cache_form: Literal["latent", "full"] = asked(options.CACHE_FORM, "latent")
    window_cache: Literal["cut", "whole"] = asked(options.WINDOW_CACHE, "cut")
    split_cache: str = asked(options.SPLIT_CACHE, "heads")
    prefix: int = asked(
        Option(
            "Set the tokens that all sequences begin with, kept once.",
            "N",
            readers.size,
            heading=options.SERVING,
            none_at_zero=True,
        ),
        0,
    )
    draft: str | ModelSpec | Mapping[str, Any] | None = asked(options.DRAFT)
    draft_tokens: int | None = asked(options.DRAFT_TOKENS)
    padding: Kernel = asked(options.PADDING, "none")
    attention_data: int = asked(options.ATTENTION_DATA, 1)
    replicas: int = asked(options.REPLICAS, 1)
    qlora: bool = asked(options.QLORA, False)

    def check(self) -> None:
        """What is of hardware needs it, and what is of training is not of serving."""
        if self.gpu is None and (self.gpu_set or self.memory_share is not None):
            raise RequestError("--gpu-set and --memory-share are read with --gpu only: add it, or drop them")
        if self.serve and self.train:
            raise RequestError("--serve or --train: give one of them, not both")
        for name in _SERVING if self.train else _TRAINING:
            if name not in self.given or self.given[name] is False:
                continue
            if self.train:
                raise RequestError(f"{spelled(name)} is of serving: drop it{_INSTEAD.get(name, '')}, or drop --train")
            raise RequestError(f"{spelled(name)} is of training: add --train, or drop it")
        if "lora_targets" in self.given and self.lora_rank is None and not self.qlora:
            raise RequestError(NO_ADAPTERS)
        self.check_method(others=("images", "image_size", "video_frames", "audio_seconds"))

    @cached_property
    def hardware(self) -> Hardware | None:
        """What it must fit on, where that is given."""
        return None if self.gpu is None else hardware_of(self.gpu, self.gpu_set)

    @property
    def training(self) -> Training:
        """How it is trained."""
        return self.trained(self.spec.adapter)

    def trained(self, own: Adapter | None) -> Training:
        """How a model is trained that has adapters of its `own`, or none."""
        from tscale.estimates.memory_train.ask import train_ask

        return train_ask(
            precision=self.precision,
            optimizer=self.optimizer,
            plan=self.plan,
            micro_batch=self.micro_batch,
            context=self.context,
            attention=self.attention,
            recompute=self.recompute.policy,
            again=self.recompute if self.recompute.of_some else None,
            kernels=self.kernels,
            optimizer_in_backward=self.optimizer_in_backward,
            offload=self.offload,
            lora_targets=self.targets_of(own),
            loss=self.loss,
            dropout=self.dropout,
            rank=self.rank_of(own),
            qlora=self.qlora,
            memory_share=self.memory_share,
            hardware=self.hardware,
            batch=self.batch,
            media=self.media,
        )

    @property
    def serving(self) -> Serving:
        """How it is served."""
        from tscale.core.dtypes import find_format
        from tscale.estimates.memory.serving import Ask as Serving

        draft = None if self.draft is None else draft_of(self.draft, self.spec, families=self.families)
        return Serving(
            self.dtype,
            self.cache_dtype,
            self.batch or 1,
            self.context,
            self.page,
            self.chunk,
            self.gpus or 1,
            self.memory_share,
            self.hardware,
            layout_of(self, self.gpus),
            None if self.state_dtype is None else find_format(self.state_dtype, what="--state-dtype", cache=True),
            self.cache_form,
            self.window_cache,
            self.split_cache == "sequences",
            self.prefix,
            draft,
            self.draft_tokens or (0 if draft is None else GUESSES),
            self.padding,
            self.media,
        )


def analyze(ask: Ask) -> Report:
    """What a device holds part by part, whether it fits, and what else would."""
    if ask.found.kind == "tower":
        return _tower_report(ask, ask.found)
    if not ask.train:
        from tscale.answers.memory.answer import memory_report

        return ask.assumed(memory_report(ask.spec, ask.serving))
    if ask.method is not None:
        return ask.assumed(_method_report(ask))
    from tscale.answers.memory_train.answer import memory_train_report

    return ask.assumed(memory_train_report(ask.spec, ask.training, ask.batch))


_OF_TOWERS: Final = (
    "model", "set", "strict", "families", "gpu", "gpu_set", "memory_share", "images", "image_size", "video_frames",
    "audio_seconds", "train", "serve", "dtype", "precision", "optimizer", "recompute", "attention", "kernels", "dropout",
    "gpus", "data", "zero", "shards",
)  # fmt: skip
"""What is read of a tower without a text model."""


def _tower_report(ask: Ask, spec: TowerSpec) -> Report:
    """Of a tower without a text model. Raises `RequestError` for what is of language models."""
    from tscale.answers.tower_memory import Ask as TowerAsk
    from tscale.answers.tower_memory import memory_of_tower
    from tscale.core.workload import SequenceLengths

    other = next((name for name, value in ask.given.items() if name not in _OF_TOWERS and value is not False), None)
    if other is not None:
        raise RequestError(f"{spelled(other)} is of language models, and {spec.label} is none: drop it")
    how = ask.trained(None).how._replace(plan=ask.plan.trained, run=SequenceLengths(target=0))
    given = TowerAsk(ask.media, ask.dtype, how if ask.train else None, ask.hardware, ask.memory_share)
    return memory_of_tower(spec, given)


def _method_report(ask: Ask) -> Report:
    """Of a step after pre-training, phase by phase."""
    from tscale.answers.post_training.memory import post_training_memory_report

    step = ask.post_training(ask.spec, ask.training, ask.context, ask.batch)
    return post_training_memory_report(ask.spec, step)


def figures(ask: Ask) -> Data:
    """The figures of the answer by their keys, without its lists: what a row of a sweep holds."""
    if ask.found.kind == "tower":
        return analyze(ask).data
    if not ask.train:
        from tscale.estimates.memory.answered import memory_figures

        return memory_figures(ask.spec, ask.serving)
    if ask.method is not None:
        return analyze(ask).data
    from tscale.estimates.memory_train.figures import memory_train_figures

    return memory_train_figures(ask.spec, ask.training, ask.batch)


def plots(ask: Ask) -> Sequence[Plot]:
    """What a device holds over the context, and its memory; of a method, in each phase."""
    if ask.method is not None:
        from tscale.answers.plots.post_training import phases_plot

        return [phases_plot(ask.spec, ask.post_training(ask.spec, ask.training, ask.context, ask.batch))]
    from tscale.answers.plots.memory import memory_plot, memory_train_plot

    return [memory_train_plot(ask.spec, ask.training) if ask.train else memory_plot(ask.spec, ask.serving)]
