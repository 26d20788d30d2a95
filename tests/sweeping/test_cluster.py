"""A sweep on Dask is the local one, row for row, even where workers die; an engine that is not there is told in one line."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import run
from tscale.errors import RequestError
from tscale.sweeping import cluster
from tscale.sweeping.job import job_of
from tscale.sweeping.run import Where, write
from tscale.sweeping.sweep import prepared

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """Two processes of the test's own."""
    distributed = pytest.importorskip("distributed")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
    ) as local:
        yield local


@pytest.mark.slow
def test_a_worker_that_dies_loses_no_row(workers: Any, tmp_path: Path) -> None:
    vary = ["set.layers=1..64", "set.heads=90..100", "context=512..1024+256", "tokens=1e9,3e11"]
    sweep = replace(prepared(job_of("flops", {"model": "gpt3"}, vary)), rows_of_a_part=200)
    here, there, csv = (tmp_path / name for name in ("here.parquet", "there.parquet", "there.csv"))
    write(here, sweep, Where(), lambda _: None)
    written: list[int] = []

    def end_one_worker(rows: int) -> None:
        written.append(rows)
        if len(written) == 3:
            first = min(worker.process.pid for worker in workers.workers.values())
            os.kill(first, signal.SIGKILL)

    where = Where("dask", workers.scheduler_address)
    write(there, sweep, where, end_one_worker)
    assert len(written) > 4
    assert not list(there.glob(".part-*"))
    assert parquet.read_table(here).equals(parquet.read_table(there))
    write(csv, sweep, where, lambda _: None)
    assert csv.read_text(encoding="utf-8").count("\n") == sweep.job.rows + 1


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "_SECONDS_TO_CONNECT", 0.3)
    path = tmp_path / "a.parquet"
    words = ["sweep", "params", "gpt2", "--vary", "set.layers=1..3", "-o", str(path), "--engine", "dask"]
    done = run(*words, "--scheduler", "tcp://127.0.0.1:9")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("tscale: --scheduler tcp://127.0.0.1:9 cannot be reached: ")
    assert done.err.count("\n") == 1
    done = run(*words, "--scheduler", "nowhere")
    assert done.err.startswith("tscale: --scheduler nowhere cannot be reached: ")


@pytest.mark.parametrize(
    "module, words, said",
    [
        (
            "numpy",
            [],
            "a sweep needs numpy: `pip install '.[sweep]'` in the folder of tscale's source installs it",
        ),
        (
            "distributed",
            ["--engine", "dask"],
            "--engine dask needs distributed: `pip install '.[dask]'` in the folder of tscale's source installs it",
        ),
        (
            "pyarrow",
            ["-o", "a.parquet"],
            "-o needs pyarrow: `pip install '.[sweep]'` in the folder of tscale's source installs it",
        ),
    ],
)
def test_what_is_not_installed_is_named(
    module: str, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    done = run("sweep", "params", "gpt2", "--vary", "set.layers=1..3", *words)
    assert (done.code, done.out, done.err) == (2, "", f"tscale: {said}\n")


@pytest.mark.slow
def test_a_worker_writes_its_part_where_it_sees_the_folder(tmp_path: Path) -> None:
    sweep = prepared(job_of("params", {"model": "gpt2"}, ["set.layers=1..3"]))
    file, sign = tmp_path / "part-00000.parquet", tmp_path / "sign"
    task = cluster.Task(sweep, 0, "parquet", version("tscale"), cluster.Own(str(file), str(sign)))
    sent = cluster.run_part(task)[1]  # of another machine, which has no such folder
    assert sent is not None
    assert not file.exists()
    sign.touch()
    assert cluster.run_part(task) == (0, None)
    assert file.read_bytes() == sent
    lost = task._replace(own=cluster.Own(str(tmp_path / "none" / file.name), str(sign)))
    assert cluster.run_part(lost) == (0, sent)
    unseen = task._replace(own=cluster.Own(str(file), str(tmp_path / ("x" * 300))))  # which no worker may ask for
    assert cluster.run_part(unseen) == (0, sent)


def test_a_worker_of_another_version_is_refused() -> None:
    sweep = prepared(job_of("params", {"model": "gpt2"}, ["set.layers=1..3"]))
    with pytest.raises(RequestError, match="a worker has tscale"):
        cluster.run_part(cluster.Task(sweep, 0, "parquet", "0.0.1"))
