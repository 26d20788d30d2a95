"""Parts of a sweep on a Dask cluster: one that runs already, or processes of this machine."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, NamedTuple

from tscale.errors import RequestError, SpecError, called
from tscale.sweeping import need
from tscale.sweeping.arrow import Format, encoded, schema_of
from tscale.sweeping.evaluate import Evaluator
from tscale.sweeping.files import Kept, write_whole
from tscale.sweeping.sweep import Sweep

_SECONDS_TO_CONNECT: Final = 10
_PARTS_OF_A_WORKER: Final = 3
"""Parts that are on their way for each worker: it never waits, and few are held."""


def need_dask() -> None:
    """Raises `RequestError` where Dask is not installed."""
    need("distributed", "--engine dask", "dask")


def on_cluster(
    sweep: Sweep, todo: Iterable[int], format: Format, scheduler: str | None, workers: int | None, kept: Kept | None
) -> Generator[tuple[int, Any]]:
    """The bytes of some parts as they are finished, or in their order. A part whose worker dies is given to another.

    Workers that see the folder write its files themselves, so that what gathers is not what all of them wait for.

    Raises:
        RequestError: for a scheduler that cannot be reached, and where workers die of the same part again and again.
    """
    from distributed import as_completed

    waiting, ready, order = iter(todo), {}, []
    in_order = kept is None or kept.in_order
    with _client(scheduler, workers) as client, _sign(kept) as sign:
        threads = max(sum(client.nthreads().values()), 1)
        done = as_completed(loop=client.loop)

        def more(count: int) -> None:
            for _, part in zip(range(count), waiting, strict=False):
                order.append(part)
                file = None if kept is None else kept.file(part)
                own = None if file is None or sign is None else Own(str(file.absolute()), sign)
                task = Task(sweep, part, format, version("tscale"), own)
                done.add(client.submit(run_part, task, key=f"{sweep.digest}-{part}"))

        more(_PARTS_OF_A_WORKER * threads)
        for future in done:
            part, data = _result(future)
            ready[part] = data
            future.release()
            written = 0
            while ready and (not in_order or order[0] in ready):
                part = order[0] if in_order else next(iter(ready))
                order.remove(part)
                written += 1
                yield part, ready.pop(part)
            more(written)


def _result(future: Any) -> tuple[int, Any]:
    from distributed.scheduler import KilledWorker

    try:
        part, data = future.result()
    except KilledWorker as error:
        raise RequestError(f"--engine dask: workers died of one part again and again: {error}") from None
    return part, data


_EVALUATORS: Final[dict[str, Evaluator]] = {}
"""In a worker: what was compiled for the parts before."""


class Own(NamedTuple):
    """The file of a part, and a file beside it that is nowhere else: a worker that sees it writes to the same disk."""

    file: str
    sign: str


class Task(NamedTuple):
    """A part to be made: of which sweep, by which version of tscale, and the file that it goes to where the worker can write it."""

    sweep: Sweep
    part: int
    format: Format
    of: str
    own: Own | None = None


@contextmanager
def _sign(kept: Kept | None) -> Iterator[str | None]:
    """A file that marks the folder of the parts while they are made; None where parts have no files of their own."""
    first = None if kept is None else kept.file(0)
    if first is None:
        yield None
        return
    # what a killed run leaves is swept away by its name
    sign = first.absolute().with_name(f".part-{token_hex(16)}.tmp")
    write_whole(sign, "")
    try:
        yield str(sign)
    finally:
        sign.unlink(missing_ok=True)


def run_part(task: Task) -> tuple[int, bytes | None]:
    """In a worker: a part and its bytes, or None where it wrote them. Raises `TscaleError`."""
    sweep, part, format, of, own = task
    if version("tscale") != of:
        raise RequestError(f"--engine dask: a worker has tscale {version('tscale')}, and here is {of}")
    if sweep.digest not in _EVALUATORS:
        _EVALUATORS.clear()
        _EVALUATORS[sweep.digest] = sweep.evaluator()
    schema = schema_of(sweep.columns, sweep.about)
    data = encoded(_EVALUATORS[sweep.digest], sweep.parts.at(part), schema, format, first=part == 0)
    with suppress(
        SpecError, OSError
    ):  # what it may not look for or write is sent, and told by the one that may not either
        if own is not None and Path(own.sign).exists():
            write_whole(Path(own.file), data)
            return part, None
    return part, data.to_pybytes()


@contextmanager
def _client(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """A client of a cluster that runs, or of processes of this machine, which end with it."""
    from dask import config
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            said = str(error).partition("\n")[0] or "no answer"
            raise RequestError(f"--scheduler {called(scheduler)} cannot be reached: {called(said, 200)}") from None
        with client:
            yield client
        return
    with (
        # memory that is handed back after every array is asked for again before the next: a third of a worker's time
        config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",  # None is port 8787 of every interface, and a warning where it is taken
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False, direct_to_workers=True) as client,
    ):
        yield client
