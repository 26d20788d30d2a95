"""The README's examples are what the program prints. `python -m tests.test_readme` writes them anew."""

from __future__ import annotations

import doctest
import json
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import tscale
from tests.helpers import answer, run
from tscale.answers.list.families import KINDS, listed_families
from tscale.cli import app
from tscale.estimates.accuracy import Errors, accuracy_of
from tscale.importer.families import FAMILIES, NESTED
from tscale.models.validation import validated
from tscale.models.yaml_file import parse_document

README = Path(__file__).parent.parent / "README.md"
EXAMPLE = re.compile(r"^```console\n\$ tscale (?P<command>.*)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)
CALIBRATIONS = README.parent / "configs" / "calibrations"
MEASURED = README.parent / "configs" / "measured"
WIDTH = 100
ORACLE = Path(__file__).parent / "oracle"
TABLE = re.compile(r"(?<=<!-- families -->\n)(?:.*\n)*?(?=<!-- /families -->)")


def examples() -> list[tuple[str, str]]:
    return [(match["command"], match["output"]) for match in EXAMPLE.finditer(README.read_text(encoding="utf-8"))]


def output(command: str) -> str:
    return run(*shlex.split(command), columns=WIDTH).out


@pytest.mark.parametrize("command, printed", examples())
def test_an_example_prints_what_the_readme_shows(command: str, printed: str) -> None:
    assert output(command) == printed


def test_the_readme_has_its_three_calls() -> None:
    text = README.read_text(encoding="utf-8")
    assert {"compare transformer gpt3", "check article"} <= {command for command, _ in examples()}
    assert "tscale params gpt3" in text
    assert "tscale flops [MODEL] --tokens 300e9" in text


@pytest.mark.parametrize("name", ["README.md", "src/tscale/__init__.py"])
def test_its_python_runs(name: str) -> None:
    text = (README.parent / name).read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(re.sub(r'```|"""', "", text), {}, name, name, 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def yaml_blocks() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_its_claims_can_be_checked() -> None:
    """Twice the layers and the parameters hold; the FLOPs are within two percent of a right value."""
    checked = json.loads(run("check", "-", "--format", "json", stdin=yaml_blocks()[0]).out)
    assert [one["verdict"] for one in checked["claims"]] == ["holds", "holds", "holds"]


def test_its_installation_names_no_package_of_an_index() -> None:
    """There is none: what works is to install the folder."""
    assert "pip install 'tscale" not in README.read_text(encoding="utf-8")


def test_its_spec_is_valid_and_counts() -> None:
    spec = validated(parse_document(yaml_blocks()[1], "README.md"))
    assert isinstance(spec, tscale.ModelSpec)
    assert tscale.params(tscale.lower(spec)).total == 5_933_109_248


def families() -> str:
    """The README's table of families: how many are read, and how many recorded counts each kind is held to."""
    published, variations = (_recorded(name) for name in ("cases", "variations"))
    towers, alone = _recorded("towers"), _recorded("towers_alone")
    by_kind = {kind: [one.name for one in listed_families() if one.kind == kind] for kind in KINDS}
    rows = [
        f"| {title} | {len(names):,} | {_sum(published, names)} | "
        f"{_sum(variations if kind not in BUILT else alone if kind == 'tower' else towers, names)} |\n"
        for (kind, title), names in zip(KINDS.items(), by_kind.values(), strict=True)
    ]
    return "".join(["| kind | families | published models | variations |\n", "|:---|---:|---:|---:|\n", *rows])


BUILT = {"whole", "text", "tower"}
"""Kinds that are held to counts of their towers."""


def _sum(counts: Counter[str], names: list[str]) -> str:
    """Of so many families, how many counts were recorded; nothing where there are none."""
    return f"{sum(counts[name] for name in names) or '':,}" if any(counts[name] for name in names) else ""


def _recorded(name: str) -> Counter[str]:
    """How many recorded counts each family is held to."""
    count = Counter[str]()
    for path in ORACLE.glob(f"{name}*.jsonl"):
        if path.stem != "cases_built_ins" and (name == "towers_alone") == path.stem.startswith("towers_alone"):
            lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
            count.update(line["config"]["model_type"] for line in lines)
    return count


AGREEMENT = re.compile(r"(?<=<!-- agreement -->\n)(?:.*\n)*?(?=<!-- /agreement -->)")


def _error(found: dict[str, Any]) -> str:
    return f"{found['median']:.1%} | {found['p90']:.1%}"


JUDGED = (
    ("GPU-hours of whole training runs, utilisation assumed", "hours", None),
    ("power of a GPU in training, taken as its TDP", "power", "gpu"),
    ("loss by hoffmann2022-3, on other data", "loss", "hoffmann2022-3"),
    ("loss by hoffmann2022-3, ratio of two on the same data", "loss_ratio", "hoffmann2022-3"),
)


def agreement() -> str:
    """The README's table of errors: cross-validated ones from the calibrations, and of memory and of later pages, to which nothing was fitted, as counted."""
    node, cluster, current, latest, serving = (
        yaml.safe_load((CALIBRATIONS / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in (
            "training-megatron-node",
            "training-megatron-cluster",
            "training-current",
            "training-bridge-26.06",
            "serving",
        )
    )
    held = answer("accuracy", str(MEASURED / "training_memory.csv"))
    unseen, shards, trained, memories, served, inferred = (
        answer("accuracy", str(Path(__file__).parent / "measured" / f"{name}.csv"))
        for name in (
            "published_dgxc",
            "published_shards",
            "published_mlperf",
            "memory_apart",
            "serving_apart",
            "serving_mlperf",
        )
    )
    tuned = [
        step
        for name in ("fine_tuning", "fine_tuning_later")
        for _, step in accuracy_of(str(Path(__file__).parent / "measured" / f"{name}.csv")).judged
    ]
    others = answer("accuracy", str(MEASURED / "serving_others.csv"))["throughput"]
    of = serving["cross_validation"]
    runs = serving["fitted_to"]["runs"]
    rows = [
        (f"training step, one node | {node['fitted_to']['runs']}", node["fitted_to"]),
        (f"training step, several nodes | {cluster['fitted_to']['runs']}", cluster["fitted_to"]),
        (f"training step, other stacks, A100 to GB300 | {current['fitted_to']['runs']}", current["fitted_to"]),
        (f"training step, Megatron-Bridge 26.06 to 26.08 | {latest['fitted_to']['runs']}", latest["fitted_to"]),
        (f"training step, published elsewhere, 8 to 2,304 GPUs, none fitted | {unseen['answered']}", unseen["step"]),
        (f"training step, shards alone over nodes, none fitted | {shards['answered']}", shards["step"]),
        (
            f"training step, MLPerf v3.0 to v6.0, 8 to 11,616 devices, none fitted | {trained['answered']}",
            trained["step"],
        ),
        (f"fine-tuning step, whole models and adapters, none fitted | {len(tuned)}", Errors.of(tuned)._asdict()),
        (f"serving, time per output token, other deployments | {runs:,}", of["deployment"]["tpot"]),
        (f"serving, time per output token, models never measured | {runs:,}", of["model"]["tpot"]),
        (f"serving, time to first token, other deployments | {runs:,}", of["deployment"]["ttft"]),
        (f"serving, latency of a request, other deployments | {runs:,}", of["deployment"]["latency"]),
        (
            f"serving, time per output token, one run of the deployment given | {serving['residuals']['tpot']['measured']['runs']}",
            of["measured"]["tpot"],
        ),
        *(
            (f"serving, {name}, published elsewhere, none fitted | {served[what]['figures']}", served[what])
            for what, name in (
                ("throughput", "throughput"),
                ("tpot", "time per output token"),
                ("ttft", "time to first token"),
            )
        ),
        (f"serving, throughput, three further sources, none fitted | {others['figures']}", others),
        (
            f"serving, throughput, MLPerf Inference 4.1 and 5.1, none fitted | {inferred['throughput']['figures']}",
            inferred["throughput"],
        ),
        (f"memory of training and serving | {held['answered']}", held["memory"]),
        (f"memory, published elsewhere, none fitted | {memories['answered']}", memories["memory"]),
    ]
    judged = yaml.safe_load((MEASURED / "judged.yaml").read_text(encoding="utf-8"))["judged"]
    rows += [
        (f"{name}, none fitted | {one['figures']}", one)
        for name, of, by in JUDGED
        for one in judged
        if (one["of"], one.get("by")) == (of, by)
    ]
    lines = ["| predicted | measured runs | median error | 90th percentile |\n", "|:---|---:|---:|---:|\n"]
    return "".join([*lines, *(f"| {name} | {_error(found)} |\n" for name, found in rows)])


@pytest.mark.slow
def test_the_table_of_errors_is_what_the_calibrations_say() -> None:
    assert AGREEMENT.findall(README.read_text(encoding="utf-8")) == [agreement()]


def test_the_table_of_families_is_what_the_importer_reads() -> None:
    assert TABLE.findall(README.read_text(encoding="utf-8")) == [families()]


def test_every_family_is_listed_by_its_kind() -> None:
    """Each row once, by the group that it says; of what reads more than text, those whose towers transformers counts are whole."""
    kinds = {one.name: one.kind for one in listed_families()}
    assert len(kinds) == len(listed_families())
    assert {name: family.group for name, family in FAMILIES.items()}.items() <= kinds.items()
    assert {name for name, kind in kinds.items() if kind in ("whole", "text")} == set(NESTED)
    assert {name for name in NESTED if kinds[name] == "whole"} == set(NESTED) & set(_recorded("towers"))


def test_the_readme_counts_the_families() -> None:
    text = README.read_text(encoding="utf-8")
    assert f"a `config.json` of one of {len(listed_families())} families" in text


def test_every_command_is_documented() -> None:
    text = README.read_text(encoding="utf-8")
    listed = re.findall(
        r"^  (\w+) {2,}\S", CliRunner().invoke(app, ["--help"]).stdout.partition("Commands:")[2], re.MULTILINE
    )
    assert len(listed) >= 10
    for command in listed:
        assert f"`tscale {command}" in text or f"`{command}" in text, command


def main() -> None:
    """Writes the outputs of the examples, and the table of families, into the README."""
    text = README.read_text(encoding="utf-8")
    fresh = EXAMPLE.sub(lambda match: f"```console\n$ tscale {match['command']}\n{output(match['command'])}```", text)
    README.write_text(AGREEMENT.sub(agreement(), TABLE.sub(families(), fresh)), encoding="utf-8")


if __name__ == "__main__":
    main()
