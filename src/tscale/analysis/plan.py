"""`plan`: the best layout for training, or the right deployment for serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from functools import cached_property
from shlex import join
from typing import TYPE_CHECKING, Any, Final

from tscale.analysis import options, readers
from tscale.analysis.axes import varied
from tscale.analysis.found import hardware_of
from tscale.analysis.media import MEDIA
from tscale.analysis.of_model import OfModel
from tscale.analysis.plan_serving import ServingAxes, check_serving, serving_plan
from tscale.analysis.plan_training import TrainingAxes
from tscale.analysis.post_training import method_words
from tscale.analysis.request import Option, asked, file_name, spelled
from tscale.analysis.spread import NO_ADAPTERS, rank_of, targets_of
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.axis import Axis, Span
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.catalogue.hardware import Hardware
    from tscale.core.costs.training_setup import Adapters
    from tscale.core.metric import Report
    from tscale.core.plot import Plot
    from tscale.estimates.plan.planned import Planned
    from tscale.estimates.plan.search import Ask as Training
    from tscale.estimates.plan_serve.search import ServingPlan
    from tscale.estimates.post_training.models import Ask as Step

MOST_CHIPS: Final = 20
MOST_SIZES: Final = 64
MOST_TOP: Final = 100
_VARIED: Final = (
    "tensor", "sequence", "context_parallel", "pipeline", "interleave", "schedule", "data", "zero", "shards", "expert",
    "expert_tensor", "micro_batch", "recompute", "precision", "optimizer", "loss", "offload",
)  # fmt: skip
"""The axes of training layouts."""


def _as_load(system: Mapping[str, object], given: Mapping[str, object]) -> Mapping[str, object]:
    """A system that serves, with its context as the prompt, and the requests at once as users where no other load is given."""
    if "context" in system:
        system = {"input": system["context"], **system}
    loads = [system[name] for name in ("concurrency", "batch") if name in system]
    if loads and not {"rate", "users", "gpus"} & given.keys() and "rate" not in system:
        system = {"users": loads[0], **system}
    return system


@spec_dataclass
class Ask(ServingAxes, TrainingAxes, OfModel):
    """Find the best layout for training, or for serving.

    An axis takes one value, a list such as 1,2,4, or a range such as 1..8 or 64..4096*2.
    """

    command = "plan"

    train: bool = asked(Option("Search the layouts of training.", kind="flag"), False)
    serve: bool = asked(Option("Search the deployments of serving.", kind="flag"), False)
    gpu: str | Hardware | Mapping[str, Any] | Sequence[str | Hardware | Mapping[str, Any]] | None = asked(
        options.GPU._replace(help="Name the hardware, or several: h100,h200,b200.", metavar="NAMES", many=True)
    )
    compare: str | None = asked(
        Option(
            "Compare the system in this file, which --save wrote, with that in the file MODEL.", "FILE", readers.file
        )
    )
    gpu_set: tuple[str, ...] = asked(options.GPU_SET, ())
    gpus: Axis | None = asked(varied(options.GPUS, "Set the number of devices, or several: 64..4096*2."))
    batch: Axis | None = asked(
        varied(
            options.STEP_BATCH,
            "Set the sequences of a step; with --serve, limit those that a copy decodes concurrently.",
        )._replace(heading="")
    )
    rank: str | None = asked(Option("Rank by time, dollars or throughput.", choices=("time", "dollars", "throughput")))
    top: int = asked(Option("Set how many of the best are listed, at most 100.", "N", readers.degree), 10)
    price: Fraction | None = asked(options.PRICE)
    memory_share: Fraction | None = asked(options.MEMORY_SHARE)
    tensor: Axis | None = asked(varied(options.TENSOR, "Vary the devices that share each layer (tensor parallelism)."))
    pipeline: Axis | None = asked(
        varied(options.PIPELINE, "Vary the stages that share the layers (pipeline parallelism).")
    )
    expert: Axis | None = asked(
        varied(options.EXPERT, "Vary the devices that routed experts are divided over (expert parallelism).")
    )
    expert_tensor: Axis | None = asked(
        varied(options.EXPERT_TENSOR, "Vary the devices that share each routed expert (expert tensor parallelism).")
    )

    @property
    def kept(self) -> Mapping[str, object] | None:
        """What --save keeps: the best system that was found, as `train` or `serve` asks it; None where none was.

        Raises:
            RequestError: of two systems that are compared.
        """
        from tscale.analysis.plan_explained import given_by
        from tscale.analysis.system import TARGETS

        if self.compare is not None:
            raise RequestError("--compare finds no system that is not in a file already: drop --save")
        data: Any = self.ranked.data
        if not data["rows"] or not data["command"]:
            return None
        found = given_by(data["command"])[1]
        if "tokens" not in self.given:
            found.pop("tokens", None)  # any, which a command has to name
        return {**found, **{name: self.given[name] for name in ("rate", *TARGETS) if name in self.given}}

    @classmethod
    def of_system(cls, system: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
        """What a system in a file fixes: its degrees and policies; of serving its prompt, and the requests at once as its users."""
        serving = bool(given.get("serve"))
        other = TrainingAxes if serving else ServingAxes
        foreign = {one.name for one in fields(other) if "option" in one.metadata} - {*MEDIA} | {"compare", "rank"}
        if serving:
            system = _as_load(system, given)
            foreign |= {"batch"}
        if "rate" in given or "users" in given:
            foreign |= {"rate", "users"}
        if "users" in given:
            foreign.add("ttft_percentile")
        return {name: value for name, value in super().of_system(system, given).items() if name not in foreign}

    def check(self) -> None:
        """One of both is searched, and nothing is given that is of the other."""
        if self.compare is not None:
            self._check_compared()
            return
        if self.gpu is None:
            raise RequestError("Missing option '--gpu': see `tscale plan -h`")
        if self.train == self.serve:
            both = "give one of them, not both" if self.train else "give one of them"
            raise RequestError(f"plan searches layouts of --train or of --serve: {both}")
        if self.top > MOST_TOP:
            raise RequestError(f"--top {self.top:,} is too many: at most {MOST_TOP}")
        if self.serve and "context" in self.given:
            raise RequestError(
                f"{spelled('context')} is of training: {spelled('input')} sets the tokens of each prompt with --serve"
            )
        self._check_axes()
        if self.serve:
            check_serving(self)
        elif self.adapters is None and "lora_targets" in self.given:
            raise RequestError(NO_ADAPTERS)
        self.check_method(others=("tokens", "days", "dollars", *MEDIA))

    def _check_axes(self) -> None:
        """Nothing is given that is of the other search alone."""
        other, kind = (ServingAxes, "serving") if self.train else (TrainingAxes, "training")
        for one in fields(other):
            if one.name in MEDIA:
                continue  # of both
            if one.name in self.given and self.given[one.name] is not False:
                raise RequestError(
                    f"{spelled(one.name)} is of {kind}: drop it, or give --{'serve' if self.train else 'train'} instead"
                )

    @property
    def adapters(self) -> Adapters | None:
        """The adapters that alone are trained; None where the model is. Raises `RequestError` for those that are not counted."""
        from tscale.core.costs.training_setup import Adapters
        from tscale.core.dtypes import DTYPES
        from tscale.models.trainer import RANK

        own = self.spec.adapter
        rank = rank_of(self.lora_rank, own) or (RANK if self.qlora else None)
        if rank is None:
            return None
        targets = targets_of(self.lora_targets, own, self.given)
        return Adapters(rank, targets, DTYPES["nf4"] if self.qlora else None)

    @property
    def _adapter_words(self) -> str:
        """The adapters as the command line names them."""
        named = [f"--lora-rank {self.lora_rank}"] if self.lora_rank else []
        named += [f"--lora-targets {self.given['lora_targets']}"] if "lora_targets" in self.given else []
        named += ["--qlora"] if self.qlora else []
        return " ".join(named)

    def _check_compared(self) -> None:
        """Raises `RequestError` where more is given than two systems and the question."""
        for name in self.given:
            if name not in ("model", "compare", "train", "serve") and self.given[name] is not False:
                raise RequestError(
                    f"--compare is of two files alone, `plan --compare A.yaml B.yaml`: drop {spelled(name)}"
                )
        if self.train and self.serve:
            raise RequestError("--compare asks one question of both files: give --train or --serve, not both")

    @cached_property
    def deployments(self) -> ServingPlan:
        """What is searched with --serve. Raises `TscaleError` for what is none, and where too much varies."""
        from tscale.planning import require

        require()
        return serving_plan(self)

    @property
    def step(self) -> Step:
        """What is asked of a step after pre-training, but for its layout. Raises `RequestError`."""
        from tscale.core.costs.training_setup import Adapters, Training
        from tscale.estimates.memory_train.ask import Ask as TrainAsk

        assert self.batch is not None
        own = self.adapters or Adapters(0)
        how = Training(
            attention=self.training.attention, rank=own.rank or None, lora_targets=own.targets, base=own.base
        )
        training = TrainAsk(how, memory_share=self.memory_share)
        return self.post_training(self.spec, training, self.context, self.batch.only)

    @cached_property
    def layouts(self) -> Planned:
        """The layouts of training, searched once. Raises `TscaleError`."""
        from tscale.planning import require

        require()
        from tscale.answers.plan.train import planned_layouts

        return planned_layouts(self.spec, self.training)

    @cached_property
    def ranked(self) -> Report:
        """The layouts or deployments ranked, and why others are not among them. Raises `TscaleError`."""
        from tscale.planning import require

        require()
        if self.train and self.method is not None:
            from tscale.answers.plan.post_training import plan_post_training_report
            from tscale.estimates.post_training.rollout import How

            how = How(self.stack, self.attention_kernel)
            words_of = f"{method_words(self)} {self._adapter_words}".rstrip()
            return plan_post_training_report(self.spec, self.layouts, self.step, how, words_of)
        if self.train:
            from tscale.answers.plan.train import plan_train_report

            return plan_train_report(self.layouts)
        from tscale.answers.plan_serve.answer import plan_serve_report

        return plan_serve_report(self.deployments)

    @property
    def training(self) -> Training:
        """What is asked of layouts of training. Raises `RequestError` for what contradicts itself."""
        from tscale.estimates.plan.search import Ask as Training

        self._check_training()
        assert self.batch is not None
        return Training(
            self.batch.only,
            () if self.gpus is None else _sizes(self.gpus),
            tuple((name, hardware) for name, hardware in zip(self.chip_names, self.chips, strict=True)),
            {name: getattr(self, name) for name in _VARIED} | {"stages": _fixed(self.stages)},
            self.tokens,
            self.context if self.method is None else self.longest(self.context),
            self.days,
            self.dollars,
            self.rank or ("dollars" if self.dollars is not None else "time"),
            self.top,
            self.price,
            self.memory_share,
            self.stack,
            self.attention_kernel,
            self.attention,  # type: ignore[arg-type]
            media=self.media,
            words=join(self.model_words),
            changes=join([word for change in self.gpu_set for word in ("--gpu-set", change)]),
            adapters=self.adapters,
            adapter_words=self._adapter_words,
        )

    def _check_training(self) -> None:
        if self.batch is None or self.batch.only is None:
            needs = "needs" if self.batch is None else "takes one value of"
            raise RequestError(f"plan --train {needs} --batch, the sequences of a step, such as --batch 512")
        if self.gpus is None and self.days is None:
            raise RequestError("plan --train needs --gpus, the devices of a run, such as 64 or 64..4096*2; or --days")
        if self.days is not None and self.dollars is not None:
            raise RequestError("--days finds the fewest devices and --dollars the most tokens: give one of them")
        if self.tokens is not None and self.dollars is not None:
            raise RequestError("--dollars finds the most tokens: drop --tokens, or drop --dollars")
        if self.dollars is not None and self.rank not in (None, "dollars"):
            raise RequestError(f"--dollars ranks by dollars, not by {self.rank}: drop --rank")

    @cached_property
    def chip_names(self) -> tuple[str, ...]:
        """The hardware as it was named, each once."""
        return tuple(name for name, _ in self._named)

    @cached_property
    def chips(self) -> tuple[Hardware, ...]:
        """The hardware, each kind once. Raises `TscaleError` for a name that means none."""
        return tuple(hardware for _, hardware in self._named)

    @cached_property
    def _named(self) -> tuple[tuple[str, Hardware], ...]:
        given = self.gpu
        several = isinstance(given, Sequence) and not isinstance(given, str)
        each: Sequence[Any] = given.split(",") if isinstance(given, str) else given if several else [given]  # type: ignore[assignment]
        if len(each) > MOST_CHIPS:
            raise RequestError(f"--gpu names {len(each):,} kinds of hardware: at most {MOST_CHIPS}")
        found: dict[str, tuple[str, Hardware]] = {}
        for one in each:
            name = one.strip() if isinstance(one, str) else one
            hardware = hardware_of(name, self.gpu_set)
            found.setdefault(hardware.name, (name if isinstance(name, str) else hardware.name, hardware))
        return tuple(found.values())


def _fixed(stages: tuple[int, ...] | None) -> Axis | None:
    """Layers of stages as an axis of one value."""
    return None if stages is None else Axis(",".join(map(str, stages)), (stages,))


def _sizes(gpus: Axis) -> tuple[int, ...]:
    """Numbers of devices: as given, and of a range without a step its powers of two and its ends. Raises `RequestError`."""
    ends = [end for part in gpus.parts if isinstance(part, Span) for end in (part.low, part.high)]
    legal = sorted({*(2**power for power in range(30)), *map(int, ends)})
    if gpus.stepped_size > MOST_SIZES:
        raise RequestError(
            f"--gpus {gpus.text[:40]} has {gpus.stepped_size:,} numbers of devices: at most {MOST_SIZES}"
        )
    return tuple(gpus.among(legal))


def analyze(ask: Ask) -> Report:
    """The layouts or deployments ranked, and why others are not among them; or two systems compared."""
    if ask.compare is not None:
        from tscale.analysis.plan_compare import compared

        asked_for = "train" if ask.train else "serve" if ask.serve else None
        return compared(ask.compare, file_name(ask.model, "model"), asked_for, explain=ask.explain)
    return ask.assumed(_explained(ask.ranked, ask) if ask.explain else ask.ranked)


def _explained(report: Report, ask: Ask) -> Report:
    """The answer with the derivations of its first row; of none, as it is."""
    from tscale.analysis.plan_explained import method_steps, serve_steps, train_steps

    data: Any = report.data
    if not data["rows"] or not data["command"]:
        return report
    steps = serve_steps if ask.serve else train_steps if ask.method is None else method_steps
    return report._replace(steps=tuple(steps(data, data["command"])))


def plots(ask: Ask) -> Sequence[Plot]:
    """Of training, step time against memory; of serving, tokens/s of a device against those of a user; else nothing."""
    if ask.compare is not None or ask.method is not None:
        return ()
    if ask.train:
        from tscale.answers.plots.plan import layouts_plot

        return [layouts_plot(ask.layouts)]
    from tscale.answers.plots.plan_serve import plan_serve_plot

    return [plan_serve_plot(ask.deployments)]
