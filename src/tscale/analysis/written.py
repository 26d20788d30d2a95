"""A question that writes a file of its own, such as the spec of a design: where, and that no file is lost."""

from __future__ import annotations

from pathlib import Path

from tscale.analysis import readers
from tscale.analysis.request import Option, Request, asked
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.errors import RequestError


def output(help: str) -> Option:
    """The option that names the file."""
    return Option(help, "FILE", readers.file, spelling="--output,-o")


@spec_dataclass
class Written(Request):
    """A question that writes a file where one is named for it; each says in its own words what is written."""

    output: str | None = asked(output("Write a file of it."))
    force: bool = asked(Option("Overwrite the file if it exists.", kind="flag"), default=False)

    @property
    def file(self) -> Path | None:
        """Where it is written; None where it is not."""
        return None if self.output is None else Path(self.output)

    def check_file(self) -> None:
        """Raises `RequestError` for --force without a file and for what is none, and `SpecError` for a file that would be lost."""
        from tscale.models.writing import refuse_to_overwrite

        if str(self.file) == "-":
            raise RequestError("--output names a file, and - is none: name one, or drop it")
        if self.force and self.file is None:
            raise RequestError("--force needs --output FILE: add it, or drop --force")
        if self.file is not None and not self.force:
            refuse_to_overwrite(self.file, "choose another name, or --force")

    def write(self, text: str) -> None:
        """Writes the file that is named, whole or not at all; nothing where none is."""
        from tscale.models.writing import write_new, write_over

        if self.file is not None:
            (write_over if self.force else write_new)(self.file, text)
