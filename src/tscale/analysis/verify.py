"""`verify`: a checkpoint's tensors against those of a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscale.analysis.of_model import OfModel
from tscale.analysis.request import Option, asked
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.core.metric import Report


@spec_dataclass
class Ask(OfModel):
    """Compare a checkpoint's tensors with those of a spec.

    Only headers are read. The exit code is 3 if the tensors differ.
    """

    command = "verify"

    path: str | None = asked(
        Option(
            "Give a safetensors or GGUF file, an index of shards, or a folder of them; the default is MODEL itself.",
            "[PATH]",
            kind="argument",
        )
    )


def analyze(ask: Ask) -> Report:
    """The tensors that differ, are missing, or are too many."""
    from tscale.answers.verify import verify_report
    from tscale.checkpoint.reading import read_weights

    path = ask.path or ask.model
    if not isinstance(path, str):
        raise RequestError("path is missing: name the file or the folder of the weights")
    spec = ask.found if ask.found.kind == "tower" else ask.spec
    return ask.assumed(verify_report(spec, read_weights(path), path))
