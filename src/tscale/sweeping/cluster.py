"""Parts of a sweep on a Dask cluster: one that runs already, or processes of this machine."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

from tscale.errors import RequestError, called
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

    Processes of this machine write files themselves, so that the one that gathers is not what all of them wait for.

    Raises:
        RequestError: for a scheduler that cannot be reached, and where workers die of the same part again and again.
    """
    from distributed import as_completed

    waiting, ready, order = iter(todo), {}, []
    in_order = kept is None or kept.in_order
    here = kept if scheduler is None else None
    with _client(scheduler, workers) as client:
        threads = max(sum(client.nthreads().values()), 1)
        done = as_completed(loop=client.loop)

        def more(count: int) -> None:
            for _, part in zip(range(count), waiting, strict=False):
                order.append(part)
                file = None if here is None else here.file(part)
                task = Task(sweep, part, format, version("tscale"), None if file is None else str(file.absolute()))
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


class Task(NamedTuple):
    """A part to be made: of which sweep, by which version of tscale, and the file that it goes to, if the worker writes it."""

    sweep: Sweep
    part: int
    format: Format
    of: str
    file: str | None = None


def run_part(task: Task) -> tuple[int, bytes | None]:
    """In a worker: a part and its bytes, or None where it wrote them. Raises `TscaleError`."""
    sweep, part, format, of, file = task
    if version("tscale") != of:
        raise RequestError(f"--engine dask: a worker has tscale {version('tscale')}, and here is {of}")
    if sweep.digest not in _EVALUATORS:
        _EVALUATORS.clear()
        _EVALUATORS[sweep.digest] = sweep.evaluator()
    schema = schema_of(sweep.columns, sweep.about)
    data = encoded(_EVALUATORS[sweep.digest], sweep.parts.at(part), schema, format, first=part == 0)
    if file is None:
        return part, data.to_pybytes()
    write_whole(Path(file), data)
    return part, None


@contextmanager
def _client(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """A client of a cluster that runs, or of processes of this machine, which end with it."""
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
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
