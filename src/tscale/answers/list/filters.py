"""What a list of what is shipped is narrowed to, and how its title says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from tscale.catalogue.models import normalised
from tscale.core.number_text import number_text
from tscale.errors import RequestError, field, nearest, shown


class Wanted(NamedTuple):
    """What a list is narrowed to: later or earlier years, names that begin so, and models of more or fewer parameters."""

    newer_than: int | None = None
    older_than: int | None = None
    family: str | None = None
    larger_than: int | None = None
    smaller_than: int | None = None

    def of_year(self, year: int | None) -> bool:
        """Whether what is of a year is listed; of an unknown one, only where no year was asked for."""
        if year is None:
            return self.newer_than is None and self.older_than is None
        after, before = self.newer_than, self.older_than
        return (after is None or year > after) and (before is None or year < before)

    def of_names(self, *names: str) -> bool:
        """Whether one of its names begins as was asked for."""
        return self.family is None or any(name.startswith(normalised(self.family)) for name in names)

    def check_family(self, names: Iterable[str]) -> None:
        """Raises `RequestError` where none of these names begins as was asked for."""
        listed = list(names)
        if self.family is None or self.of_names(*listed):
            return
        begin = dict.fromkeys(name.partition("-")[0] for name in listed)
        raise RequestError(
            f"{field('family')}: no name here begins with {shown(self.family)}: {nearest(self.family, begin)}"
        )

    def of_size(self, params: int | None) -> bool:
        """Whether a model of so many parameters is listed; of one whose shape is not known, only where no size was asked for."""
        if params is None:
            return self.larger_than is None and self.smaller_than is None
        least, most = self.larger_than, self.smaller_than
        return (least is None or params > least) and (most is None or params < most)

    def said(self) -> str:
        """The filters in words, for a title; empty without any."""
        words = (
            ("newer than", self.newer_than),
            ("older than", self.older_than),
            ("of the family", None if self.family is None else shown(self.family)),
            ("larger than", None if self.larger_than is None else number_text(self.larger_than, "short")),
            ("smaller than", None if self.smaller_than is None else number_text(self.smaller_than, "short")),
        )
        return ", ".join(f"{word} {value}" for word, value in words if value is not None)


ALL: Final = Wanted()


def titled(title: str, wanted: Wanted, found: int, every: int) -> str:
    """The title of a list, with how many of all it has where it was narrowed."""
    said = wanted.said()
    return f"{title}, {said}: {found} of {every}" if said else title
