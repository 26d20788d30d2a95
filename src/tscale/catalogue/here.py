"""The accelerator of this machine, as its own tools tell it: what `--gpu here` means.

nvidia-smi, rocm-smi and, on a Mac, sysctl are asked in turn, each for a few seconds at most, and none for more than a few
lines. Names are those that a shipped file says that its chip reports (`reports_as`); the memory is that of this machine.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tscale.errors import RequestError, UnknownNameError, shown

if TYPE_CHECKING:
    from tscale.catalogue.hardware import Hardware

SECONDS: Final = 10.0
"""How long each tool may take: nvidia-smi needs several seconds where no process keeps the driver loaded."""
_MOST_BYTES: Final = 2**20
_MIB: Final = 2**20
_MAC_NAMES: Final = ("machdep.cpu.brand_string", "hw.memsize")


class Found(NamedTuple):
    """Devices of one kind, as a tool tells them: their name, memory in MiB where it is told, how many, and who told it.

    `cores`: of a GPU whose name alone does not say which it is (Apple's).
    """

    name: str
    mib: int | None
    devices: int
    by: str
    cores: int | None = None

    @property
    def text(self) -> str:
        """As people read it: `2 x NVIDIA A100-SXM4-80GB, 81920 MiB`."""
        of_cores = f", {self.cores} cores" if self.cores is not None else ""
        memory = f", {self.mib} MiB" if self.mib is not None else ""
        return f"{f'{self.devices} x ' if self.devices > 1 else ''}{self.name}{of_cores}{memory}"


class Asked(NamedTuple):
    """What a tool answered, or why it did not."""

    text: str = ""
    failed: str = ""


def ask(*command: str, seconds: float = SECONDS) -> Asked:
    """The first mebibyte that a program on PATH writes; it and all that it started end after `seconds`."""
    program = shutil.which(command[0])
    if program is None:
        return Asked(failed=f"{command[0]} is not on PATH")
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 (the tools of drivers, by fixed names and arguments)
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return Asked(failed=f"{command[0]} does not start: {error.strerror or error}")
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return Asked(failed=f"{command[0]} did not answer within {seconds:g} s")
        finally:
            _end(process)
        output.seek(0)
        text = output.read(_MOST_BYTES).decode("utf-8", "replace")
    return Asked(failed=f"{command[0]} failed with exit code {code}") if code else Asked(text)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program that still runs, and all that it started."""
    if process.poll() is not None:
        return
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


# ---------------------------------------------------------------------------------------------------------------------
# What each tool tells
# ---------------------------------------------------------------------------------------------------------------------


def _of_nvidia(ask: Callable[..., Asked]) -> tuple[list[Found], str]:
    said = ask("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
    rows = [
        row for row in csv.reader(said.text.splitlines(), skipinitialspace=True) if len(row) == len(("name", "MiB"))
    ]
    found = [(name.strip(), int(mib) if mib.strip().isdigit() else None) for name, mib in rows]
    return _counted(found, "nvidia-smi"), said.failed or "" if found else said.failed or "nvidia-smi lists no GPU"


_ROCM_NAMES: Final = ("card series", "device name", "card model")
_ROCM_MEMORY: Final = "vram total memory (b)"


def _of_amd(ask: Callable[..., Asked]) -> tuple[list[Found], str]:
    said = ask("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--json")
    if said.failed:
        return [], said.failed
    try:
        cards = json.loads(said.text)
    except ValueError:
        return [], "rocm-smi does not answer in JSON"
    found = list(_cards(cards)) if isinstance(cards, dict) else []
    return _counted(found, "rocm-smi"), "" if found else "rocm-smi lists no GPU"


def _cards(cards: dict[str, Any]) -> Iterator[tuple[str, int | None]]:
    """Name and MiB of each card that rocm-smi tells of."""
    for card in cards.values():
        told = {str(key).lower(): str(value).strip() for key, value in card.items()} if isinstance(card, dict) else {}
        name = next((told[key] for key in _ROCM_NAMES if told.get(key, "N/A") != "N/A"), None)
        memory = told.get(_ROCM_MEMORY, "")
        if name is not None:
            yield name, int(memory) // _MIB if memory.isdigit() else None


def _of_apple(ask: Callable[..., Asked]) -> tuple[list[Found], str]:
    said = ask("sysctl", "-n", *_MAC_NAMES)
    lines = said.text.split("\n")
    if said.failed or not lines[0].startswith("Apple ") or len(lines) < len(_MAC_NAMES) or not lines[1].isdigit():
        return [], said.failed if "PATH" in said.failed else "sysctl reports no Apple silicon"
    displays = ask("system_profiler", "SPDisplaysDataType").text
    cores = re.search(r"Total Number of Cores: (\d+)", displays)
    found = Found(lines[0].strip(), int(lines[1]) // _MIB, 1, "sysctl", int(cores[1]) if cores else None)
    return [found], ""


def _counted(devices: list[tuple[str, int | None]], by: str) -> list[Found]:
    """Devices of the same name and memory as one kind."""
    kinds = dict.fromkeys(devices)
    return [Found(name, mib, devices.count((name, mib)), by) for name, mib in kinds]


_TOOLS: Final = (_of_nvidia, _of_amd, _of_apple)


def accelerators_here(where: str = "--gpu here") -> tuple[Found, ...]:
    """The accelerators of this machine, by kind. Raises `RequestError`, which says what each tool answered, if there is none."""
    found, reasons = _asked_on(os.environ.get("PATH", ""))
    if found:
        return found
    raise RequestError(
        f"no GPU was found on this machine ({'; '.join(reasons)}): name one, such as h100; `tscale list hardware` has the names",
        where=where,
    )


@cache
def _asked_on(path: str) -> tuple[tuple[Found, ...], tuple[str, ...]]:
    """What the tools on a PATH find, each asked once in a process, and why those that find nothing do not."""
    del path
    reasons = []
    for tool in _TOOLS:
        found, reason = tool(ask)
        if found:
            return tuple(found), ()
        reasons.append(reason)
    return (), tuple(reasons)


# ---------------------------------------------------------------------------------------------------------------------
# What they are among those that are shipped
# ---------------------------------------------------------------------------------------------------------------------

_NEAR: Final = 0.1
"""How far the memory that is told may be from that of the chip of this name: two sizes of a card are further apart."""


def known_as(found: Found) -> Hardware | None:
    """The shipped hardware that a device is, with the memory of this machine; None where it is not among them."""
    from tscale.catalogue.hardware import listed_hardware

    called = [one for one in listed_hardware() if _plain(found.name) in map(_plain, one.reports_as)]
    for hardware in called:
        if found.cores is not None and hardware.gpu_cores not in (None, found.cores):
            continue
        if found.mib is None or hardware.unified_memory:
            return _with_memory(hardware, found)
        if abs(found.mib / (hardware.reported_mib or hardware.memory_gb * 1e9 / _MIB) - 1) <= _NEAR:
            return _with_memory(hardware, found)
    return None


def _plain(name: str) -> str:
    """A name without its maker, which drivers of some versions leave out."""
    return re.sub(r"^(nvidia|amd|tesla)\s+", "", name.strip().lower())


def _with_memory(hardware: Hardware, found: Found) -> Hardware:
    """The hardware with the memory that this machine tells of; machines with shared memory are sold with several sizes."""
    if found.mib is None:
        return hardware
    memory = hardware.memory_gb
    if hardware.unified_memory:
        memory = round(found.mib / 1024)
    return replace(
        hardware,
        memory_gb=memory,
        reported_mib=found.mib,
        reported_source=f"{found.by} on this machine",
        evidence=replace(hardware.evidence, reported="primary"),
    )


def hardware_here() -> Hardware:
    """The accelerator of this machine. Raises `TscaleError` where there is none, several kinds, or one that is not known."""
    kinds = accelerators_here()
    if len({(one.name, one.mib) for one in kinds}) > 1:
        listed = ", ".join(one.text for one in kinds)
        raise RequestError(f"this machine has several kinds of GPU ({listed}): name one of them", where="--gpu here")
    hardware = known_as(kinds[0])
    if hardware is None:
        raise UnknownNameError(
            f"this machine has {shown(kinds[0].text, 120)}, which is not among the shipped hardware: write a YAML file of it "
            "and name that; `tscale show rtx-4090` prints one to start from",
            where="--gpu here",
        )
    return hardware
