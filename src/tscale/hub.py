"""A repository of the Hugging Face hub as a MODEL: the file that describes it, and the headers of its weights; never more.

The client is the package `huggingface_hub`, which knows the address (HF_ENDPOINT), the user's token and HF_HUB_OFFLINE;
it comes with `tscale[hub]`. Nothing is written to disk.

A server is untrusted: the client's own timeouts are for one step each, and one that sends a byte now and then passes all of
them. So every request runs in a thread of its own, and is given up when the time of the whole command is over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from tscale.errors import SpecError, called

if TYPE_CHECKING:
    from tscale.checkpoint.regular_file import Read
    from tscale.checkpoint.tensors import Tensor, Weights

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 10  # for one step of a request
DEADLINE_SECONDS: float = 60  # for all requests of a command
AT_ONCE: Final = 8  # requests, where several files are wanted
FIRST_BYTES: Final = 128 * 1024  # holds most headers whole

_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_FILES: Final = (".yaml", ".yml", ".json", ".safetensors", ".gguf", ".bin", ".pt", ".pth")


def is_repository(name: str) -> bool:
    """Whether a name means a repository: `organisation/name`, no file's suffix, and no such file or folder."""
    return _REPOSITORY.fullmatch(name) is not None and not name.lower().endswith(_FILES) and not Path(name).exists()


class _Deadline(NamedTuple):
    """When requests are given up, by the monotonic clock, and how long that is after the first."""

    end: float
    seconds: float

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self.end - monotonic())


_within: ContextVar[_Deadline | None] = ContextVar("_within", default=None)


@contextmanager
def deadline(seconds: float | None = None) -> Iterator[None]:
    """Holds all requests made inside to one deadline, from now on; inside of another, that one counts."""
    outer, seconds = _within.get(), DEADLINE_SECONDS if seconds is None else seconds
    token = _within.set(outer or _Deadline(monotonic() + seconds, seconds))
    try:
        yield
    finally:
        _within.reset(token)


def _deadline() -> _Deadline:
    return _within.get() or _Deadline(monotonic() + DEADLINE_SECONDS, DEADLINE_SECONDS)


_DESCRIBING: Final = ("config.json", "params.json", "adapter_config.json", "model_index.json")
"""What describes the model of a repository, the first that is there."""


def description(repository: str) -> tuple[str, str]:
    """The file that describes a repository's model, by its name, and its text. Raises `SpecError`."""
    until = _deadline()
    missing: SpecError | None = None
    for file in _DESCRIBING:
        try:
            return file, _text_of(repository, file, until)
        except _NoSuchFileError as error:
            missing = missing or error
    assert missing is not None, "there are files to ask for"
    raise missing


def _text_of(repository: str, file: str, until: _Deadline) -> str:
    """The text of a file of a repository. Raises `SpecError`."""
    from tscale.importer.config_file import MOST_BYTES

    where = _called(repository, file)
    raw, size = _fetched(repository, file, 0, MOST_BYTES, until)
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

    until = _deadline()
    try:
        tensors, size = _header(repository, SINGLE, until)
    except _NoSuchFileError:
        pass
    else:
        return Weights(tensors, 1, size)
    try:
        raw, size = _fetched(repository, INDEX, 0, MOST_HEADER, until)
    except _NoSuchFileError:
        raise SpecError(f"the repository has neither {SINGLE} nor {INDEX}", where=called(repository)) from None
    where = _called(repository, INDEX)
    if size > len(raw):
        raise SpecError(f"is larger than {MOST_HEADER:,} bytes", where=where)
    shards = shards_of(raw, where)
    return gathered(shards, _ahead(shards, lambda shard: _header(repository, shard, until)), where)


def _header(repository: str, file: str, until: _Deadline) -> tuple[tuple[Tensor, ...], int]:
    from tscale.checkpoint.safetensors import header

    first, size = _fetched(repository, file, 0, FIRST_BYTES, until)

    def read(start: int, count: int) -> bytes:
        if start < len(first):
            return first[start : start + count]
        more, now = _fetched(repository, file, start, count, until)
        if now != size:
            raise SpecError(
                f"is {size:,} bytes long in one answer and {now:,} in another", where=_called(repository, file)
            )
        return more

    checked: Read = read
    return header(checked, size, _called(repository, file)), size


def _ahead(names: Iterable[str], read: Callable[[str], T]) -> Callable[[str], T]:
    """What reads each of some files once: several at a time, begun before they are asked for. None is read after an error."""
    from concurrent.futures import Future

    results = {name: Future[T]() for name in names}
    waiting, lock = iter(results), Lock()

    def work() -> None:
        while True:
            with lock:
                name = next(waiting, None)
            if name is None:
                return
            try:
                results[name].set_result(read(name))
            except Exception as error:  # noqa: BLE001 (it is raised where the file is asked for)
                with lock:
                    rest = list(waiting)
                for other in (name, *rest):
                    results[other].set_exception(error)

    for _ in islice(results, AT_ONCE):
        Thread(target=work, daemon=True).start()
    return lambda name: results[name].result()


class _NoSuchFileError(SpecError):
    """The repository is there, and does not hold the file."""


def _fetched(repository: str, file: str, start: int, count: int, until: _Deadline) -> tuple[bytes, int]:
    """At most so many bytes of a file from a place on, and the size of the whole file. Raises `SpecError`.

    Fewer than were asked for are the last of the file.
    """
    if find_spec("huggingface_hub") is None:
        raise SpecError(
            "no such file here: `pip install '.[hub]'` in the folder of tscale's source lets it be read from the Hugging Face hub",
            where=called(repository),
        )
    try:
        return _in_time(lambda: _asked(repository, file, start, count), until)
    except SpecError:
        raise
    except Exception as error:  # the client's errors are of several packages: any of them is no answer
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if until.left <= 0:  # whatever it says, the connection was closed because time was over
            why = f"no whole answer in {until.seconds:g} seconds"
        raise SpecError(
            f"the hub cannot be reached ({_endpoint()}): {why[:200]}", where=_called(repository, file)
        ) from error


def _in_time(ask: Callable[[], T], until: _Deadline) -> T:
    """What a function gives that runs in a thread of its own. Raises its error, or `TimeoutError` at the deadline."""
    from concurrent.futures import Future

    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 (it is raised by whoever waits)
            answer.set_exception(error)

    Thread(target=work, daemon=True).start()
    try:
        return answer.result(until.left)
    except TimeoutError:  # since 3.11 that of futures too
        if answer.done():
            raise
        _hang_up()
        raise TimeoutError(f"no whole answer in {until.seconds:g} seconds") from None


def _hang_up() -> None:
    """Closes the client's connections, so that a request that was given up comes to an end."""
    import huggingface_hub

    with suppress(Exception):  # whatever it says, the request is given up
        huggingface_hub.close_session()


def _asked(repository: str, file: str, start: int, count: int) -> tuple[bytes, int]:
    """What the hub answers. Raises `SpecError`, and whatever the client does."""
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils._headers import build_hf_headers

    url = hf_hub_url(repository, file)
    headers = {**build_hf_headers(), "range": f"bytes={start}-{start + count - 1}", "accept-encoding": "identity"}
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True) as answer:
        where = _called(repository, file)
        _judge(answer, where)
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise SpecError("the hub sends it in an encoding that was not asked for", where=where)
        size = _size(answer, start, where)
        return _body(answer, min(count, size - start), where), size


def _judge(answer: Any, where: str) -> None:
    """Raises `SpecError` for an answer that is no part of the file."""
    code, status = answer.headers.get("x-error-code", ""), answer.status_code
    if status in (200, 206):
        return
    if code == "EntryNotFound" or (status == 404 and not code):
        raise _NoSuchFileError("the repository holds no such file", where=where)
    if code == "GatedRepo":
        raise SpecError("is gated: accept its terms on the hub, then `hf auth login`", where=where)
    if code == "RepoNotFound" or status in (401, 404):
        raise SpecError("the hub has no such repository, or a private one: `hf auth login` for those", where=where)
    raise SpecError(f"the hub answers with status {status}", where=where)


def _body(answer: Any, count: int, where: str) -> bytes:
    """What was asked for, and not a byte more, even of a server that sends the whole file."""
    body = bytearray()
    for chunk in answer.iter_raw():
        body += chunk
        if len(body) >= count:
            break
    if len(body) < count:
        raise SpecError(f"the hub sends {len(body):,} bytes of it where {count:,} were asked for", where=where)
    return bytes(body[:count])


def _size(answer: Any, start: int, where: str) -> int:
    """The size of the whole file, which an answer of a part of it tells too; the part must begin where it was asked for."""
    if answer.status_code == 206:
        part = _PART.fullmatch(answer.headers.get("content-range", ""))
        told = "" if part is None else part[2]
        if part is not None and int(part[1]) != start:
            what = f"its bytes from {int(part[1]):,} on where those from {start:,} were asked for"
            raise SpecError(f"the hub sends {what}", where=where)
    elif start:
        raise SpecError("the hub sends no parts of files", where=where)
    else:
        told = answer.headers.get("content-length", "")
    if not (told.isascii() and told.isdigit() and len(told) < _MOST_DIGITS):
        raise SpecError("the hub does not tell the size of the file", where=where)
    if int(told) < start:
        raise SpecError(f"the hub says that it is {int(told):,} bytes long, and said more before", where=where)
    return int(told)


_PART: Final = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19})", re.ASCII)
_MOST_DIGITS: Final = 20


def _called(repository: str, file: str) -> str:
    return called(f"{repository}/{file}")


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)
