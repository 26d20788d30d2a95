"""What a hub sends."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tests.fuzz.dice import as_json, mutated, scratched, text
from tests.fuzz.kinds.given import CONFIGS
from tests.fuzz.requests import _DESCRIPTIONS
from tscale import hub
from tscale.models.model_files import described_text


class _Answer(NamedTuple):
    """What a hub sends: a client's answer as far as it is read."""

    status_code: int
    headers: dict[str, str]
    body: bytes

    def iter_raw(self) -> Iterator[bytes]:
        """The body in chunks."""
        yield from (self.body[start : start + 999] for start in range(0, len(self.body), 999))


class _Session:
    """A client whose server makes its answers by dice."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    @contextmanager
    def stream(self, _: str, url: str, *, headers: dict[str, str], **__: Any) -> Iterator[_Answer]:
        """An answer that is whole and right, or not."""
        dice = self._dice
        start, stop = map(int, headers["range"].removeprefix("bytes=").split("-"))
        file = self._file(url.rpartition("/")[2])
        status = dice.choice([206] * 8 + [200, 404, 401, 403, 302, 416, 500, 0])
        said = {
            "content-range": f"bytes {start}-{min(stop, len(file) - 1)}/{len(file)}",
            "content-length": str(len(file)),
        }
        said = {
            key: told if dice.random() < 0.9 else dice.choice([text(dice), "bytes 0-1/2", "1", "-1", str(10**18)])
            for key, told in said.items()
        }
        if dice.random() < 0.1:
            said[dice.choice(["x-error-code", "content-encoding"])] = dice.choice(
                ["EntryNotFound", "RepoNotFound", "GatedRepo", "gzip", text(dice)]
            )
        body = file[start : stop + 1]
        yield _Answer(status, said, body if dice.random() < 0.9 else body[: dice.randrange(len(body) + 1)])

    def _file(self, name: str) -> bytes:
        dice = self._dice
        if name == "model.safetensors.index.json":
            raw = as_json(mutated(dice, {"weight_map": {f"t{n}": f"s{n % 2}.safetensors" for n in range(3)}}))
        elif name.endswith(".safetensors"):
            body = as_json(mutated(dice, {f"t{name[1:-12]}": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}))
            raw = struct.pack("<Q", len(body)) + body + bytes(4)
        else:
            raw = as_json(mutated(dice, dice.choice(_DESCRIPTIONS.get(name, CONFIGS))))
        return scratched(dice, raw) if dice.random() < 0.2 else raw


def hub_answer(dice: Random) -> None:
    """What a hub answers to a command that wants a model, or its weights."""
    import huggingface_hub

    kept = huggingface_hub.get_session
    huggingface_hub.get_session = lambda: _Session(dice)  # type: ignore[assignment, return-value]
    try:
        if dice.random() < 0.5:
            name, found = hub.description("org/name")
            described_text(found, Path("org/name") / name, "org/name")
        else:
            hub.weights("org/name")
    finally:
        huggingface_hub.get_session = kept
