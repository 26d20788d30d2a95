"""A repository of the Hugging Face hub as a MODEL: its config.json, and the headers of its weights; never more.

The client is the package `huggingface_hub`, which knows the address (HF_ENDPOINT), the user's token and HF_HUB_OFFLINE;
it comes with `tscale[hub]`. Nothing is written to disk.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tscale.errors import SpecError, called

if TYPE_CHECKING:
    from tscale.checkpoint.regular_file import Read
    from tscale.checkpoint.tensors import Tensor, Weights

TIMEOUT_SECONDS: Final = 10
PATIENCE_SECONDS: Final = 60  # for a whole answer that comes in drops
FIRST_BYTES: Final = 128 * 1024  # holds most headers whole

_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_FILES: Final = (".yaml", ".yml", ".json", ".safetensors", ".gguf", ".bin", ".pt", ".pth")


def is_repository(name: str) -> bool:
    """Whether a name means a repository: `organisation/name`, no file's suffix, and no such file or folder."""
    return _REPOSITORY.fullmatch(name) is not None and not name.lower().endswith(_FILES) and not Path(name).exists()


def config_text(repository: str) -> str:
    """The text of a repository's config.json. Raises `SpecError`."""
    from tscale.models.yaml_file import MOST_BYTES

    where = _called(repository, "config.json")
    raw, size = _fetched(repository, "config.json", 0, MOST_BYTES)
    if size > MOST_BYTES:
        raise SpecError(f"is larger than {MOST_BYTES // 1024} KiB: a config.json takes two or three", where=where)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError("is not UTF-8", where=where) from None


def weights(repository: str) -> Weights:
    """The tensors of a repository, from the headers of its safetensors files. Raises `SpecError`."""
    from tscale.checkpoint.safetensors import INDEX, MOST_HEADER, SINGLE, gathered, shards_of
    from tscale.checkpoint.tensors import Weights

    try:
        tensors, size = _header(repository, SINGLE)
    except _NoSuchFileError:
        pass
    else:
        return Weights(tensors, 1, size)
    try:
        raw, size = _fetched(repository, INDEX, 0, MOST_HEADER)
    except _NoSuchFileError:
        raise SpecError(f"the repository has neither {SINGLE} nor {INDEX}", where=called(repository)) from None
    where = _called(repository, INDEX)
    if size > len(raw):
        raise SpecError(f"is cut off, or larger than {MOST_HEADER:,} bytes", where=where)
    return gathered(shards_of(raw, where), lambda shard: _header(repository, shard), where)


def _header(repository: str, file: str) -> tuple[tuple[Tensor, ...], int]:
    from tscale.checkpoint.safetensors import header

    first, size = _fetched(repository, file, 0, FIRST_BYTES)

    def read(start: int, count: int) -> bytes:
        return first[start : start + count] if start < len(first) else _fetched(repository, file, start, count)[0]

    checked: Read = read
    return header(checked, size, _called(repository, file)), size


class _NoSuchFileError(SpecError):
    """The repository is there, and does not hold the file."""


def _fetched(repository: str, file: str, start: int, count: int) -> tuple[bytes, int]:
    """At most so many bytes of a file from a place on, and the size of the whole file. Raises `SpecError`."""
    if find_spec("huggingface_hub") is None:
        raise SpecError(
            "no such file here: `pip install '.[hub]'` in the folder of tscale's source lets it be read from the Hugging Face hub",
            where=called(repository),
        )
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils._headers import build_hf_headers

    url = hf_hub_url(repository, file)
    headers = {**build_hf_headers(), "range": f"bytes={start}-{start + count - 1}", "accept-encoding": "identity"}
    try:
        with get_session().stream(
            "GET", url, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True
        ) as answer:
            _judge(answer, repository, file)
            return _body(answer, start, count), _size(answer, repository, file)
    except SpecError:
        raise
    except Exception as error:  # the client's errors are of several packages: any of them is no answer
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SpecError(
            f"the hub cannot be reached ({_endpoint()}): {why[:200]}", where=_called(repository, file)
        ) from error


def _judge(answer: Any, repository: str, file: str) -> None:
    """Raises `SpecError` for an answer that is no part of the file."""
    code, status = answer.headers.get("x-error-code", ""), answer.status_code
    if status in (200, 206):
        return
    where = _called(repository, file)
    if code == "EntryNotFound" or (status == 404 and not code):
        raise _NoSuchFileError("the repository holds no such file", where=where)
    if code == "GatedRepo":
        raise SpecError("is gated: accept its terms on the hub, then `hf auth login`", where=where)
    if code == "RepoNotFound" or status in (401, 404):
        raise SpecError("the hub has no such repository, or a private one: `hf auth login` for those", where=where)
    raise SpecError(f"the hub answers with status {status}", where=where)


def _body(answer: Any, start: int, count: int) -> bytes:
    """What was asked for, and not a byte more, even of a server that sends the whole file."""
    if start and answer.status_code != 206:
        raise ConnectionError("it sends no parts of files")
    body, end = bytearray(), monotonic() + PATIENCE_SECONDS
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) >= count:
            break
        if monotonic() > end:
            raise TimeoutError(f"no whole answer in {PATIENCE_SECONDS} seconds")
    return bytes(body[:count])


def _size(answer: Any, repository: str, file: str) -> int:
    """The size of the whole file, which an answer of a part of it tells too."""
    told = answer.headers.get("content-range", "").rpartition("/")[2] or answer.headers.get("content-length", "")
    if not (told.isascii() and told.isdigit() and len(told) < 20):
        raise SpecError("the hub does not tell the size of the file", where=_called(repository, file))
    return int(told)


def _called(repository: str, file: str) -> str:
    return called(f"{repository}/{file}")


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)
