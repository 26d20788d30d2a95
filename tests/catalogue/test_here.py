"""The GPU of this machine: told by its tools, which stand on PATH here as scripts that print what the real ones were seen to."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.helpers import run
from tscale.catalogue.hardware import find_hardware, listed_hardware
from tscale.catalogue.here import ask
from tscale.errors import TscaleError

ROCM = """{"card0": {"Card Series": "AMD Instinct MI300X", "Card Model": "0x74a1", "VRAM Total Memory (B)": "206141652992"},
"card1": {"Card Series": "AMD Instinct MI300X", "Card Model": "0x74a1", "VRAM Total Memory (B)": "206141652992"}}"""


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, but for the shell that its scripts are run by."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def tool(folder: Path, name: str, prints: str = "", *, code: int = 0, first: str = "") -> None:
    """A script that prints a text."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{first}\n/bin/cat <<'END'\n{prints}\nEND\nexit {code}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("told", "name", "mib"),
    [
        ("NVIDIA H100 80GB HBM3, 81559", "h100-sxm", 81559),
        ("NVIDIA A100-SXM4-40GB, 40960", "a100-sxm-40gb", 40960),
        ("A100-SXM4-80GB, 81920", "a100-sxm-80gb", 81920),  # as drivers before 460 say it
        ("NVIDIA GeForce RTX 3060, 12288", "rtx-3060-12gb", 12288),
        ("NVIDIA GeForce RTX 5090, 32607\nNVIDIA GeForce RTX 5090, 32607", "rtx-5090", 32607),
        ("NVIDIA GB10, [N/A]", "dgx-spark", 124611),
        ("NVIDIA RTX 6000 Ada Generation, 49140", "rtx-6000-ada", 49140),
    ],
)
def test_what_nvidia_smi_tells_is_among_the_shipped_hardware(on_path: Path, told: str, name: str, mib: int) -> None:
    tool(on_path, "nvidia-smi", told)
    found = find_hardware("here")
    assert (found.name, found.reported_mib) == (name, mib)


def test_rocm_smi_is_asked_next(on_path: Path) -> None:
    tool(on_path, "rocm-smi", ROCM)
    assert find_hardware("here").name == "mi300x"
    assert run("detect").out.startswith("2 x AMD Instinct MI300X, 196592 MiB: mi300x (")


@pytest.mark.parametrize(
    ("brand", "gib", "cores", "name"),
    [("Apple M4 Pro", 48, 20, "apple-m4-pro"), ("Apple M4 Max", 64, 40, "apple-m4-max-40-core")],
)
def test_a_mac_has_the_memory_that_it_was_sold_with(on_path: Path, brand: str, gib: int, cores: int, name: str) -> None:
    tool(on_path, "sysctl", f"{brand}\n{gib * 2**30}")
    tool(on_path, "system_profiler", f"Graphics/Displays:\n      Total Number of Cores: {cores}\n")
    found = find_hardware("here")
    assert (found.name, found.memory_gb, found.reported_mib) == (name, gib, gib * 1024)
    assert found.device().unified


def test_a_chip_with_other_cores_is_another_one(on_path: Path) -> None:
    """The M4 Max of 32 cores has 410 GB/s, which no shipped file says."""
    tool(on_path, "sysctl", f"Apple M4 Max\n{36 * 2**30}")
    tool(on_path, "system_profiler", "      Total Number of Cores: 32\n")
    with pytest.raises(TscaleError, match='this machine has "Apple M4 Max, 32 cores, 36864 MiB", which is not among'):
        find_hardware("here")


def test_a_card_of_another_size_is_another_one(on_path: Path) -> None:
    tool(on_path, "nvidia-smi", "NVIDIA GeForce RTX 3060, 8192")
    with pytest.raises(
        TscaleError, match='"NVIDIA GeForce RTX 3060, 8192 MiB", which is not among the shipped hardware'
    ):
        find_hardware("here")
    assert "NVIDIA GeForce RTX 3060, 8192 MiB: not among the shipped hardware" in run("detect").out


def test_several_kinds_are_named(on_path: Path) -> None:
    tool(on_path, "nvidia-smi", "NVIDIA L4, 23034\nNVIDIA T4, 15360")
    done = run("memory", "gpt2", "--gpu", "here")
    assert done.code == 2
    assert (
        "--gpu here: this machine has several kinds of GPU (NVIDIA L4, 23034 MiB, NVIDIA T4, 15360 MiB): name one"
        in done.err
    )
    assert len(run("detect").out.splitlines()) == 2


def test_none_is_one_clear_line(on_path: Path) -> None:
    tool(on_path, "nvidia-smi", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", code=9)
    done = run("serve", "gpt2", "--gpu", "here")
    assert done.code == 2
    assert done.err == (
        "tscale: --gpu here: no GPU was found on this machine (nvidia-smi failed with exit code 9; rocm-smi is not on PATH; "
        "sysctl is not on PATH): name one, such as h100; `tscale list hardware` has the names\n"
    )
    assert run("detect").err == done.err.replace("--gpu here: ", "")


@pytest.mark.parametrize("prints", ["", "garbage", "a, b, c\n,,,", "\x00\x01", "NVIDIA H100 80GB HBM3"])
def test_what_makes_no_sense_is_no_gpu(on_path: Path, prints: str) -> None:
    for name in ("nvidia-smi", "rocm-smi", "sysctl"):
        tool(on_path, name, prints)
    with pytest.raises(TscaleError, match="no GPU was found on this machine"):
        find_hardware("here")


@pytest.mark.parametrize("cards", ["[]", "{}", '{"card0": 3}', '{"card0": {"Card Series": "N/A"}}', "nonsense"])
def test_what_rocm_smi_does_not_tell_is_no_gpu(on_path: Path, cards: str) -> None:
    tool(on_path, "rocm-smi", cards)
    with pytest.raises(TscaleError, match=r"rocm-smi (lists no GPU|does not answer in JSON)"):
        find_hardware("here")


def test_a_tool_that_hangs_ends_with_all_that_it_started(on_path: Path) -> None:
    """A driver that is stuck, in a program that the one which was asked has started."""
    tool(on_path, "nvidia-smi", first=f"/bin/sleep 60 &\necho $! > {on_path}/pid\nwait")
    said = ask("nvidia-smi", seconds=0.3)
    assert said.failed == "nvidia-smi did not answer within 0.3 s"
    started = int((on_path / "pid").read_text(encoding="utf-8"))
    for _ in range(50):
        try:
            os.kill(started, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{started}/stat").is_file() and " Z " in Path(f"/proc/{started}/stat").read_text(
            encoding="utf-8"
        ):
            return
        time.sleep(0.02)
    pytest.fail("what it started still runs")


def test_detect_in_json(on_path: Path) -> None:
    tool(on_path, "nvidia-smi", "NVIDIA H200, 143771")
    found = json.loads(run("detect", "--format", "json").out)["found"]
    assert found == [
        {
            "reported_name": "NVIDIA H200",
            "reported_mib": 143771,
            "gpu_cores": None,
            "devices": 1,
            "reported_by": "nvidia-smi",
            "hardware": "h200-sxm",
            "title": "NVIDIA H200 SXM 141GB",
        }
    ]


def test_it_is_shown_and_changed_as_any_other(on_path: Path) -> None:
    tool(on_path, "nvidia-smi", "NVIDIA H200, 143771")
    shown = run("show", "here").out
    assert "reported_mib: 143771" in shown
    assert "reported_source: nvidia-smi on this machine" in shown
    assert find_hardware("here", ["memory_gb=100"]).memory_gb == 100


def test_no_two_shipped_chips_report_the_same(on_path: Path) -> None:
    """Unless their cores or their sizes tell them apart."""
    del on_path
    names = [(name.lower(), hardware.gpu_cores) for hardware in listed_hardware() for name in hardware.reports_as]
    assert len(names) == len(set(names))
