"""`fit`: a scaling law fitted to one's own training runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, cast

from tscale.analysis.completion import one_of
from tscale.analysis.request import Option, asked
from tscale.analysis.written import Written, output
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.counts import parse_count
from tscale.errors import RequestError, nearest, shown

if TYPE_CHECKING:
    from tscale.calibration.forms import Name
    from tscale.catalogue.laws import Law
    from tscale.core.metric import Report
    from tscale.core.plot import Plot
    from tscale.estimates.fit_forms import Comparison, Found

_FORMS: Final = ("chinchilla", "kaplan", "farseer", "moe-joint")
_MOST_BOOTSTRAPS: Final = 10_000
_LEAST_BOOTSTRAPS: Final = 100


def bootstraps(text: str, what: str) -> int:
    """How many samples give the intervals."""
    count = parse_count(text, what=what, most=_MOST_BOOTSTRAPS)
    if count < _LEAST_BOOTSTRAPS:
        raise RequestError(
            f"{what} must be at least {_LEAST_BOOTSTRAPS}, not {count}: an interval to the 2.5th percentile needs as many"
        )
    return count


def seed(text: str, what: str) -> int:
    """Where the random samples begin."""
    if not re.fullmatch("[0-9]{1,18}", text):
        raise RequestError(f"{what} must be a whole number of up to 18 digits, such as 0, not {shown(text)}")
    return int(text)


@spec_dataclass
class Ask(Written):
    """Fit a scaling law to your own training runs.

    The answer has bootstrap intervals, and the compute-optimal runs that the law implies.
    """

    command = "fit"

    runs: str = asked(
        Option(
            "Give a CSV with the columns params, tokens and loss, or flops for one of the first two; - is standard input.",
            "RUNS.csv",
            kind="argument",
        ),
        required=True,
    )
    output: str | None = asked(output("Write the law to this YAML file, which --law reads."))
    bootstraps: int = asked(Option("Set the number of bootstrap samples for the intervals.", "N", bootstraps), 1000)
    seed: int = asked(Option("Set the seed of the random samples.", "N", seed), 0)
    form: tuple[str, ...] = asked(
        Option(
            "Choose the form of the law; by default chinchilla. Repeat it to compare forms by held-out error. moe-joint reads a "
            "column of experts.",
            "|".join(_FORMS),
            kind="list",
            complete=one_of(_FORMS),
        ),
        (),
    )
    holdout: bool = asked(
        Option("Predict each model size from the runs of the other sizes, and report the error.", kind="flag"),
        default=False,
    )
    counts: str = asked(
        Option("Say which parameters the column params counts.", choices=("all", "non_embedding")), "all"
    )

    def check(self) -> None:
        """Forms are known; what fits is installed, and what is written has a name that it may have."""
        from tscale.calibration import require

        for name in self.form:
            if name not in _FORMS:
                raise RequestError(f"--form {shown(name)} is none: {nearest(name, _FORMS)}")
        file = self.file
        if file is not None and (file.suffix.lower() not in (".yaml", ".yml") or not str(file).isprintable()):
            raise RequestError(f"--output names a YAML file, such as law.yaml, not {shown(str(file))}")
        require()
        self.check_file()

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms that are asked for, each once."""
        return tuple(dict.fromkeys(self.form)) or ("chinchilla",)

    @cached_property
    def fitting(self) -> Found | Comparison:
        """The law, fitted; of several forms all."""
        from tscale.calibration.runs import read_runs
        from tscale.estimates.fit_forms import Asked, fitted_forms
        from tscale.render.progress import progress

        read = read_runs(self.runs, experts="moe-joint" in self.forms)
        counts = cast("Literal['all', 'non_embedding']", self.counts)
        name = "fit" if self.file is None else self.file.stem
        forms = cast("tuple[Name, ...]", self.forms)
        asked = Asked(forms, self.bootstraps, self.seed, counts, name, self.holdout)
        with progress("bootstrap", self.bootstraps * len(forms)) as advance:
            return fitted_forms(read, asked, advance)

    @property
    def law(self) -> Law:
        """The law that is written: of several forms, that which foretells held-out sizes best."""
        from tscale.estimates.fit_forms import Comparison

        return self.fitting.best.law if isinstance(self.fitting, Comparison) else self.fitting.law


def analyze(ask: Ask) -> Report:
    """The constants with their intervals; the law is written where a file is named for it."""
    from tscale.answers.fit.forms import forms_report
    from tscale.models.writing import law_to_yaml

    if ask.file is not None:
        ask.write(law_to_yaml(ask.law))
    return forms_report(ask.fitting, ask.file)


def plots(ask: Ask) -> Sequence[Plot]:
    """The runs and the curve."""
    from tscale.answers.plots.fit import fit_plot

    return [fit_plot(ask.fitting)]
