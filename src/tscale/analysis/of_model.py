"""What most questions are about: a model, and the hardware that it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tscale.analysis import options
from tscale.analysis.found import hardware_of, spec_of
from tscale.analysis.media import WithMedia
from tscale.analysis.request import Request, asked
from tscale.blocks.spec_dataclass import spec_dataclass

if TYPE_CHECKING:
    from tscale.catalogue.hardware import Hardware
    from tscale.core.metric import Report
    from tscale.models.spec import ModelSpec, Spec


@spec_dataclass
class OfModel(Request):
    """A question about one model: by name, by file, or as a spec that was made in Python."""

    model: str | ModelSpec | Mapping[str, Any] = asked(options.MODEL, required=True)
    set: tuple[str, ...] = asked(options.SET, ())
    assume: str | None = asked(options.ASSUME)
    strict: bool = asked(options.STRICT, default=False)
    families: str | Mapping[str, Any] | None = asked(options.FAMILIES)

    @cached_property
    def found(self) -> Spec:
        """The spec, disclosed or not."""
        return spec_of(self.model, self.set, self.assume, strict=self.strict, families=self.families)

    @cached_property
    def spec(self) -> ModelSpec:
        """The spec, which knows of images where layers of it attend to them. Raises `NotPublishedError` where none was published."""
        from tscale.models.resolve import disclosed

        spec = disclosed(self.found)
        if not isinstance(self, WithMedia) or not self.media.any:
            return spec
        from tscale.estimates.media import with_images

        return with_images(spec, self.media)

    @property
    def model_words(self) -> list[str]:
        """The model as it was named, to be pasted into another command line."""
        words = [self.model if isinstance(self.model, str) else self.found.name]
        words += [word for change in self.set for word in ("--set", change)]
        words += [] if self.assume is None else ["--assume", self.assume]
        return words + (["--families", self.families] if isinstance(self.families, str) else [])

    def assumed(self, report: Report) -> Report:
        """The answer, marked as assumed where the model is counted like another."""
        from tscale.answers.assumed import as_assumed

        return as_assumed(report, self.found)


@spec_dataclass
class OnHardware(OfModel):
    """A question about a model on hardware, which is asked for."""

    gpu: str | Hardware | Mapping[str, Any] | None = asked(options.GPU, required=True)
    gpu_set: tuple[str, ...] = asked(options.GPU_SET, ())

    @cached_property
    def hardware(self) -> Hardware:
        """The hardware."""
        assert self.gpu is not None
        return hardware_of(self.gpu, self.gpu_set)

    @property
    def words(self) -> str:
        """The model and the hardware as they were named, to be pasted into another command line."""
        gpu = self.gpu if isinstance(self.gpu, str) else self.hardware.name
        changes = [word for change in self.gpu_set for word in ("--gpu-set", change)]
        from shlex import join

        return join([*self.model_words, "--gpu", gpu, *changes])
