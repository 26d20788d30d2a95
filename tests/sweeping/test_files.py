"""Whole parts or none: a sweep that is stopped, or whose disk is full, goes on and loses nothing."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import run
from tscale.errors import SpecError
from tscale.sweeping import run as running
from tscale.sweeping.files import kept_at
from tscale.sweeping.job import job_of
from tscale.sweeping.run import Where, write
from tscale.sweeping.sweep import Sweep, prepared

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def small() -> Sweep:
    """600 rows in parts of 100."""
    sweep = prepared(job_of("params", {"model": "gpt2"}, ["set.layers=1..60", "set.vocabulary=100..1000+100"]))
    return replace(sweep, rows_of_a_part=100)


def totals(path: Path) -> list[int]:
    if path.suffix == ".parquet":
        table = parquet.read_table(path)
        return [int(one) for one in table.column("params.total").to_pylist()]
    lines = path.read_text(encoding="utf-8").splitlines()
    place = lines[0].replace('"', "").split(",").index("params.total")
    return [int(line.split(",")[place]) for line in lines[1:]]


def wanted() -> list[int]:
    """Of a GPT-2 of width 768 and context 1024: 7,087,872 a block (Radford 2019), its tables and its last norm."""
    return [v * 768 + 1024 * 768 + layers * 7_087_872 + 1536 for layers in range(1, 61) for v in range(100, 1001, 100)]


def stopped_after(parts: int) -> Any:
    """A count of rows that ends the sweep behind so many parts, as Ctrl-C would."""
    seen = []

    def advance(rows: int) -> None:
        seen.append(rows)
        if len(seen) == parts:
            raise KeyboardInterrupt

    return advance


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_a_stopped_sweep_goes_on_where_it_was(name: str, small: Sweep, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(KeyboardInterrupt):
        write(path, small, Where(), stopped_after(2))
    if name.endswith("csv"):
        assert not path.exists()
    else:
        assert sorted(one.name for one in path.glob("*.parquet")) == ["part-00000.parquet", "part-00001.parquet"]
        assert len(totals(path)) == 200
    done = write(path, small, Where(), lambda _: None)
    assert (done.before, done.parts) == (2, 6)
    assert totals(path) == wanted()
    assert sorted(one.name for one in tmp_path.iterdir()) == [name]


def test_a_sweep_that_is_whole_is_not_written_again(small: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, small, Where(), lambda _: None)
    before = {one.name: one.stat().st_mtime_ns for one in path.iterdir()}
    done = write(path, small, Where(), lambda _: None)
    assert done.before == done.parts
    assert {one.name: one.stat().st_mtime_ns for one in path.iterdir()} == before


def test_a_part_that_is_gone_is_made_again(small: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, small, Where(), lambda _: None)
    (path / "part-00003.parquet").unlink()
    (path / ".part-00003.parquet.tmp").write_bytes(b"half")
    assert write(path, small, Where(), lambda _: None).before == 5
    assert totals(path) == wanted()
    assert not list(path.glob(".*"))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_a_full_disk_leaves_whole_parts_and_one_line(name: str, small: Sweep, tmp_path: Path) -> None:
    """A limit on the size of files is told as a full disk is, by a failing write."""
    path = tmp_path / name
    most = 9_000 if name.endswith("csv") else 2_000
    with files_of_at_most(most), pytest.raises(SpecError, match="cannot be written: File too large"):
        write(path, small, Where(), lambda _: None)
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.rglob("part-*"))
    write(path, small, Where(), lambda _: None)
    assert totals(path) == wanted()


def test_bytes_past_the_last_whole_part_of_a_csv_are_cut(small: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(KeyboardInterrupt):
        write(path, small, Where(), stopped_after(3))
    with (tmp_path / "a.csv.partial").open("ab") as file:
        file.write(b"1,2,half a l")
    write(path, small, Where(), lambda _: None)
    assert totals(path) == wanted()


def test_the_folder_of_another_sweep_is_refused(small: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, small, Where(), lambda _: None)
    other = prepared(job_of("params", {"model": "gpt2"}, ["set.layers=1..61", "set.vocabulary=100..1000+100"]))
    with pytest.raises(SpecError, match="holds a sweep over other axes: choose another name"):
        write(path, other, Where(), lambda _: None)
    with pytest.raises(SpecError, match="whose model or hardware has changed since"):
        write(path, replace(small, digest="0"), Where(), lambda _: None)


def test_a_place_that_is_no_sweeps_is_refused(small: Sweep, tmp_path: Path) -> None:
    folder, file, csv, partial = (tmp_path / name for name in ("b.parquet", "c.parquet", "d.csv", "e.csv"))
    folder.mkdir()
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    for taken in (file, csv, tmp_path / "e.csv.partial"):
        taken.write_text("mine", encoding="utf-8")
    for path, said in (
        (folder, "the folder is no sweep's, it has no _sweep.json"),
        (file, "exists, and is no folder of a sweep"),
        (csv, "exists already"),
        (partial, "no e.csv.sweep.json says of which sweep"),
        (tmp_path / "no" / "f.csv", "cannot be written: No such file or directory"),
        (tmp_path / "no" / "f.parquet", "cannot be written: No such file or directory"),
    ):
        with pytest.raises(SpecError, match=said):
            write(path, small, Where(), lambda _: None)
    assert (folder / "mine.txt").read_text(encoding="utf-8") == "mine"
    assert sorted(one.name for one in folder.iterdir()) == ["mine.txt"]


def test_a_note_that_is_no_sweeps_is_refused(small: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.mkdir()
    for text, said in (("[]", "says of no sweep"), ("{", "cannot be read"), ("{}", "says of no sweep")):
        (path / "_sweep.json").write_text(text, encoding="utf-8")
        with pytest.raises(SpecError, match=said):
            kept_at(path).begin(small)


def test_the_command_writes_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["sweep", "params", "gpt2", "--vary", "set.layers=1..3", "-o", "a.parquet"]
    assert run(*words).out == "a.parquet is written: 3 rows\n"
    assert run(*words).out == "a.parquet holds all 3 rows already\n"
    about = parquet.read_schema("a.parquet/part-00000.parquet")
    assert about.field("params.total").metadata == {b"unit": b"parameters", b"known": b"exact"}


def test_a_command_that_is_stopped_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "write", stopped)
    done = run("sweep", "params", "gpt2", "--vary", "set.layers=1..3", "-o", str(tmp_path / "a.parquet"))
    assert done.code == 130
    assert "the same command goes on from there" in done.err


@pytest.mark.parametrize("left", [b"", b"PAR1", b"cut short"])
def test_a_part_that_is_not_whole_is_named_and_written_anew_once_it_is_gone(
    left: bytes, small: Sweep, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    write(path, small, Where(), lambda _: None)
    part = path / "part-00003.parquet"
    part.write_bytes(left)
    with pytest.raises(SpecError, match=r"part-00003.parquet: is no whole part of this sweep: delete it"):
        write(path, small, Where(), lambda _: None)
    part.unlink()
    write(path, small, Where(), lambda _: None)
    assert totals(path) == wanted()


@pytest.mark.parametrize("parts", ['"x"', "-1", "null", "99", "[]"])
def test_a_note_that_says_no_number_of_parts_is_refused(parts: str, small: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(KeyboardInterrupt):
        write(path, small, Where(), stopped_after(2))
    note = tmp_path / "a.csv.sweep.json"
    said = note.read_text(encoding="utf-8")
    note.write_text(said.replace('"written_parts": 2', f'"written_parts": {parts}'), encoding="utf-8")
    with pytest.raises(SpecError, match=r"a.csv.sweep.json: does not say how much of a.csv.partial is written"):
        write(path, small, Where(), lambda _: None)
    assert not path.exists()
