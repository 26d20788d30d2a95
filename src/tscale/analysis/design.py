"""`design`: a model of a given size or training budget."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tscale.analysis import completion, options, readers
from tscale.analysis.request import Option, asked
from tscale.analysis.written import Written, output
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.counts import parse_count
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.core.metric import Data, Report
    from tscale.estimates.design import Design

_LAW: Final = "hoffmann2022-3"
_LEAST_MULTIPLE: Final = 8
_MANY: Final = 5


def multiple(text: str, what: str) -> int:
    """What widths are multiples of."""
    least = parse_count(text, what=what, most=65536)
    if least < _LEAST_MULTIPLE:
        raise RequestError(f"{what} must be at least {_LEAST_MULTIPLE}, not {least}: hardware needs widths that divide")
    return least


def tensor(text: str, what: str) -> int:
    """Devices that share each layer."""
    return parse_count(text, what=what, most=1024)


@spec_dataclass
class Ask(Written):
    """Design a model of a given size or training budget.

    Its proportions are those of a published model.
    """

    command = "design"

    params: int | None = asked(Option("Set the number of parameters, such as 7e9.", "N", readers.parameters))
    flops: int | None = asked(
        Option("Set the training FLOPs, such as 1e22; --law gives parameters and tokens.", "C", readers.flops)
    )
    like: str = asked(
        Option(
            "Take the proportions of this model, or of the member of this family that is nearest in size.",
            "MODEL|FAMILY",
            complete=completion.model_names,
        ),
        "llama",
    )
    law: str | None = asked(
        Option(
            f"Choose the scaling law for --flops; the default is {_LAW}, or for mixtures of experts ludziejewski2025.",
            "NAME|FILE",
            complete=completion.law_names,
        )
    )
    multiple: int = asked(Option("Make d_model and d_ff multiples of this number.", "N", multiple), 128)
    tensor: int = asked(options.TENSOR._replace(read=tensor, heading=""), 1)
    set: tuple[str, ...] = asked(
        Option("Change a field of the pattern, which the design then follows.", "KEY=VALUE", kind="list"), ()
    )
    output: str | None = asked(output("Write the spec to this file; - prints only the spec."))

    def check(self) -> None:
        """There is one budget, and what is written has a name that it may have."""
        if (self.params is None) == (self.flops is None):
            raise RequestError(
                "design takes --params or --flops, " + ("not both" if self.params else "such as --params 7e9")
            )
        if self.law is not None and self.flops is None:
            raise RequestError("--law needs --flops: give it in place of --params, or drop --law")
        if self.file is not None and self.file.suffix not in (".yaml", ".yml"):
            raise RequestError(f"--output names a YAML file, such as model.yaml, not {str(self.file)[:40]}")
        self.check_file()

    @property
    def file(self) -> Path | None:
        """Where the spec is written; None where it is printed, or not asked for."""
        return None if self.output is None or self.output == "-" else Path(self.output)

    @cached_property
    def design(self) -> Design:
        """What was found, with others nearly as good."""
        return self.found(_MANY)

    def found(self, many: int) -> Design:
        """What was found, up to so many."""
        from tscale.core.costs.shapes import Grid
        from tscale.estimates.design import Wish, designed

        grid = Grid(self.multiple, self.tensor)
        wish = Wish(self.params, self.flops, self.law, self.like, grid, self.set)
        return designed(wish, "design" if self.file is None else self.file.stem, many)


def analyze(ask: Ask) -> Report:
    """The design that is nearest, and others; its spec is written where a file is named for it."""
    from tscale.answers.design import design_report

    written, found = "", ask.design
    if ask.file is not None and found.hits:
        ask.write(found.yaml)
        written = f"{ask.file} is written: `tscale params {ask.file}` counts it."
    return design_report(found, written, explain=ask.explain)


def figures(ask: Ask) -> Data:
    """The figures of the answer by their keys: what a row of a sweep holds, which is of the best alone."""
    from tscale.answers.design import design_figures

    return design_figures(ask.found(1))


def text(ask: Ask) -> str | None:
    """The spec alone, where that is asked for in place of the answer."""
    return ask.design.yaml if ask.output == "-" and ask.design.hits else None
