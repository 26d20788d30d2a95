"""What must hold of any file of a scaling law, of hardware, and of runs."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.calibration.synthetic import BESIROGLU, csv_of, runs_of
from tests.fuzz.properties import Property
from tests.fuzz.running import elsewhere, lawful, ran
from tests.fuzz.wrong import as_yaml, mutated, number, places_in, scratched
from tscale.catalogue.hardware import hardware_names, hardware_text
from tscale.catalogue.laws import listed_laws
from tscale.catalogue.models import configs
from tscale.models.yaml_file import parse_document


def any_law(text: bytes, command: tuple[str, ...]) -> None:
    """A file that says it is a scaling law is asked or refused."""
    done = ran(*command, stdin=text)
    lawful(command, done)
    assert done.code in (0, 1) or _far_off(done.err) or _asked_for_another(done.err), done


def any_hardware(text: bytes, command: tuple[str, ...]) -> None:
    """A file that says it is hardware is trained on or refused."""
    done = ran(*command, stdin=text)
    lawful(command, done)
    assert done.code in (0, 1, 3) or "--" in done.err, done  # 3: its plan does not fit


def any_runs(text: bytes) -> None:
    """A file that says it holds runs is fitted or refused, and the law that is written is read."""
    with elsewhere() as folder:
        command = ("fit", "-", "--bootstraps", "100", "-o", "law.yaml")
        done = ran(*command, stdin=text)
        lawful(command, done)
        assert done.code in (0, 1), done
        assert (folder / "law.yaml").exists() == (done.code == 0)
        if done.code == 0:
            asked = ("optimal", "--flops", "1e20", "--law", "law.yaml")
            again = ran(*asked)
            lawful(asked, again)
            assert again.code == 0 or _far_off(again.err), again


def _far_off(said: str) -> bool:
    """Whether a law was refused for an answer that no training comes to."""
    return "no meaningful" in said or "no mixture of experts makes sense" in said


def _asked_for_another(said: str) -> bool:
    """Whether a law that is right was refused as one of something else than what was asked: the option to change is named."""
    return "--law" in said or " law of " in said


_LAW_TEXTS: Final = [(configs() / "laws" / f"{name}.yaml").read_bytes() for name in listed_laws()]
_HARDWARE_TEXTS: Final = [hardware_text(name).encode() for name in hardware_names()]
_RUNS: Final = csv_of(runs_of(BESIROGLU, 12, 0.01, 1)).encode()


@cache
def laws_as_read() -> list[Any]:
    """What the files of laws say, read where it is asked for: every worker of the tests imports this."""
    return [parse_document(text.decode(), "law").data for text in _LAW_TEXTS]


@cache
def hardware_as_read() -> list[Any]:
    """The same of hardware."""
    return [parse_document(text.decode(), "hardware").data for text in _HARDWARE_TEXTS]


def _laws() -> SearchStrategy[Any]:
    """Those, and one with draws."""
    drawn = next(law for law in laws_as_read() if law["name"] == "besiroglu2024")
    draws = [[1.8, 480.0, 2000.0, 0.35, beta] for beta in (0.3, 0.36, 0.4)]
    return st.sampled_from([*laws_as_read(), {**drawn, "draws": draws}])


_any_law_file: Final = st.deferred(_laws)
_any_hardware_file: Final = st.deferred(lambda: st.sampled_from(hardware_as_read()))
_any_size: Final = st.one_of(
    st.floats(-38, 38).map(lambda power: float(f"{10**power:.6g}")), st.floats(0.01, 3), st.integers(1, 10**30)
)


@st.composite
def _resized(draw: DrawFn, files: SearchStrategy[Any]) -> bytes:
    """A file some of whose numbers are any others above 0."""
    data = copy.deepcopy(draw(files))
    numbers = [(container, key) for container, key in places_in(data) if isinstance(container[key], int | float)]
    for _ in range(draw(st.integers(1, 4))):
        container, key = draw(st.sampled_from(numbers))
        container[key] = draw(_any_size)
    return as_yaml(data)


@st.composite
def _runs_text(draw: DrawFn) -> bytes:
    """Runs with any numbers in some places."""
    lines = [line.split(b",") for line in _RUNS.splitlines()]
    for _ in range(draw(st.integers(0, 12))):
        line = draw(st.sampled_from(lines[1:]))
        line[draw(st.integers(0, 2))] = str(draw(st.one_of(number, st.floats(1, 1e12), st.floats(1, 20)))).encode()
    return b"\n".join(b",".join(line) for line in lines)


_law_text: Final = st.one_of(
    mutated(_any_law_file).map(as_yaml),
    _resized(_any_law_file),
    scratched(st.sampled_from(_LAW_TEXTS)),
)
_hardware_text: Final = st.one_of(
    mutated(_any_hardware_file).map(as_yaml),
    _resized(_any_hardware_file),
    scratched(st.sampled_from(_HARDWARE_TEXTS)),
)
_of_a_law: Final = st.sampled_from(
    [
        ("optimal", "--flops", "1e22", "--law", "-"),
        ("optimal", "--flops", "1e36", "--law", "-", "--format", "json"),
        ("optimal", "--params", "7B", "--law", "-", "--explain"),
        ("optimal", "--tokens", "1", "--law", "-"),
        ("optimal", "--flops", "1e22", "--law", "-", "--unique-tokens", "1e9", "--format", "markdown"),
        ("optimal", "--params", "7B", "--law", "-", "--inference-tokens", "1e12", "--format", "csv"),
        ("optimal", "--flops", "1e22", "--experts", "8", "--law", "-", "--format", "json"),
        ("optimal", "--flops", "1e22", "--experts", "any", "--law", "-"),
        ("hyper", "gpt2", "--tokens", "1e10", "--law", "-"),
        ("loss", "gpt2", "--tokens", "1e10", "--law", "-", "--format", "json"),
    ]
)
_of_hardware: Final = st.sampled_from(
    [
        ("train", "gpt2", "--gpu", "-", "--gpus", "8"),
        ("train", "gpt3", "--gpu", "-", "--days", "30", "--format", "json"),
        ("train", "gpt3", "--gpu", "-", "--gpus", "1", "--mfu", "40%", "--price", "2", "--explain"),
    ]
)

FILES: Final = {
    "any_law": Property(any_law, (_law_text, _of_a_law), 80),
    "any_hardware": Property(any_hardware, (_hardware_text, _of_hardware), 60),
    "any_runs": Property(any_runs, (st.one_of(_runs_text(), scratched(st.just(_RUNS))),), 5),
}
"""The properties of files, as `PROPERTIES` has those of specs and command lines."""
