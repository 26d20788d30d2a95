"""`tscale optimal --experts`."""

from __future__ import annotations

import re

import pytest

from tests.helpers import answer, run
from tscale.catalogue.models import configs


def test_a_number_of_experts_has_its_optimum() -> None:
    """Ludziejewski 2025, Table 1: 8 experts, of which a token meets 1, with 1e21 FLOPs: 3.8B active parameters and 44.3B tokens."""
    data = answer("optimal", "--flops", "1e21", "--experts", "8", "--active-share", "1/8")
    joint = next(row for row in data["rows"] if row["law"] == "ludziejewski2025")
    assert joint["params"] == pytest.approx(3.8e9, rel=0.02)
    assert joint["tokens"] == pytest.approx(44.3e9, rel=0.02)
    assert joint["dense_flops_ratio"] > 1
    assert (joint["experts"], joint["active_experts"], joint["expansion"]) == (8, 1, 8)


def test_a_share_makes_of_finer_experts_the_mixture_of_as_many_times_its_active_parameters() -> None:
    fine = answer("optimal", "--flops", "1e21", "--experts", "64", "--active-share", "12.5%")["rows"][0]
    coarse = answer("optimal", "--flops", "1e21", "--experts", "8", "--active-share", "1/8")["rows"][0]
    assert fine["loss"] == coarse["loss"]
    assert fine["active_experts"] == 8


def test_a_free_share_is_the_best() -> None:
    free = answer("optimal", "--flops", "1e21", "--experts", "16", "--law", "abnar2025")["rows"][0]
    given = [
        answer("optimal", "--flops", "1e21", "--experts", "16", "--law", "abnar2025", "--active-share", f"{met}/16")[
            "rows"
        ][0]
        for met in (1, 2, 4)
    ]
    assert free["loss"] == min(row["loss"] for row in given)


def test_any_number_of_experts_within_memory() -> None:
    """Table 2: with 1e22 FLOPs 4 experts are best in 24 GB, 16 in 80 GB."""
    for room, best in (("24", 4), ("80", 16)):
        data = answer("optimal", "--flops", "1e22", "--experts", "any", "--memory-gb", room)
        assert min(data["rows"], key=lambda row: row["loss"])["experts"] == best
        assert all(row["memory_bytes"] <= float(room) * 1e9 * 1.000001 for row in data["rows"])
        assert [row["active_experts"] for row in data["granularities"]] == [1, 2, 4, 8, 16, 32, 64]
    out = run("optimal", "--flops", "1e22", "--experts", "any", "--memory-gb", "80").out
    assert out.splitlines()[0].startswith(
        "Compute-optimal mixture of experts with 1e22 training FLOPs and 80 GB: 16 experts"
    )


@pytest.mark.parametrize(
    "words, said",
    [
        (("--params", "7e9", "--experts", "8"), "--experts is read with --flops or --gpu"),
        (("--flops", "1e22", "--active-share", "0.5"), "--active-share is read with --experts only"),
        (("--flops", "1e22", "--memory-gb", "80"), "--memory-gb is read with --experts only"),
        (("--flops", "1e22", "--experts", "8", "--active-share", "0.01"), "give at least 1/8"),
        (("--flops", "1e22", "--experts", "8", "--active-share", "2"), "is a share of all experts, at most 1"),
        (("--flops", "1e22", "--experts", "8", "--law", "hoffmann2022-3"), "names no optimum of mixtures of experts"),
        (
            ("--flops", "1e22", "--experts", "8", "--unique-tokens", "1e9"),
            "--unique-tokens is read by laws of dense models",
        ),
        (("--flops", "10", "--experts", "8"), "no mixture of experts makes sense"),
        (("--flops", "1e12", "--experts", "any", "--inference-tokens", "1e15"), "no mixture of experts makes sense"),
        (("--flops", "1e22", "--experts", "any", "--active-share", "1/2"), "--experts any chooses the share"),
        (("--flops", "1e22", "--experts", "none"), "--experts must be a whole number"),
        (("--flops", "1e22", "--experts", "any", "--law", "abnar2025", "--law", "ludziejewski2025"), "give one --law"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(words: tuple[str, ...], said: str) -> None:
    found = run("optimal", *words)
    assert found.code == 2
    assert said in found.err
    assert found.err.count("\n") == 1


def test_devices_and_days_are_a_budget_of_experts_too() -> None:
    """64 H100 of 989.4 TFLOP/s at half of that for 10 days."""
    found = answer("optimal", "--experts", "8", "--gpu", "h100", "--gpus", "64", "--days", "10", "--mfu", "50%")
    assert found["flops"] == 64 * 10 * 86_400 * 9_894 * 10**11 // 2


def test_a_law_whose_loss_rises_with_parameters_has_no_optimum() -> None:
    text = (configs() / "laws" / "ludziejewski2025.yaml").read_text(encoding="utf-8")
    rising = re.sub(r"(alpha: \{value:) -0\.1889", r"\1 1.0", text)
    assert rising != text
    done = run("optimal", "--flops", "1e22", "--law", "-", stdin=rising)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "tscale: --flops of 1e22 has no meaningful optimum by ludziejewski2025: ask for an amount nearer to what is trained\n"
    )
    assert run("optimal", "--flops", "1e22", "--experts", "8", "--law", "-", stdin=rising).code == 0
