"""What an hour of an accelerator costs: given, of a file of one's own, or the range of what others ask."""

from __future__ import annotations

import re
import statistics
from fractions import Fraction

import pytest

from tests.helpers import answer, run
from tscale.answers.assumptions import rent_notes
from tscale.catalogue.hardware import find_hardware, hardware_names
from tscale.catalogue.measured import prices
from tscale.estimates.rent import rent_of


def test_every_price_is_of_hardware_that_is_shipped_and_has_a_date_and_a_source() -> None:
    for price in prices():
        assert price.hardware in hardware_names()
        assert re.fullmatch(r"20\d\d(-\d\d(-\d\d)?)?|20\d\d/20\d\d", price.date)
        assert price.source and price.provider
        assert (price.usd_per_hour is None) == (price.usd_low is not None) == (price.usd_high is not None)
        assert Fraction(1, 20) < price.low <= price.usd_per_device_hour <= price.high < 25


def test_a_source_is_one_price_of_a_kind_that_a_provider_has_for_an_accelerator() -> None:
    """What a source states as a range is a row with two ends, and what it makes of its own list is no price of anybody's."""
    rows = [(p.hardware, p.provider, p.kind, p.source) for p in prices()]
    assert len(set(rows)) == len(rows)
    for price in prices():
        words = f"{price.provider},".replace(",", " ,").split()
        assert not {"from", "to", "median"} & set(words), price


def test_the_range_is_of_all_but_what_ends_when_somebody_bids_more() -> None:
    h100 = rent_of(find_hardware("h100"))
    assert h100 is not None
    own = sorted(p.usd_per_device_hour for p in prices() if p.hardware == "h100-sxm" and p.kind != "spot")
    assert (h100.low, h100.high) == (own[0], own[-1])
    assert len(h100.asked) == len(own)
    assert h100.middle == statistics.median(own)
    assert h100.said() == "Price assumed: 3.78 USD per GPU-hour (1.87 to 12.3: 13 prices, 2025-2026)."


def test_of_two_prices_the_middle_is_between_them() -> None:
    """An A10 at 0.86 and at 2 USD."""
    a10 = rent_of(find_hardware("a10"))
    assert a10 is not None
    assert (a10.low, a10.middle, a10.high) == (Fraction("0.86"), Fraction("1.43"), Fraction(2))


def test_a_source_that_states_a_range_is_one_price_with_two_ends() -> None:
    """pricegpu.pages.dev: an A100 of 80 GB at 1.49 to 2.49 USD; a guide: sixteen Trainium2 at 50 to 60."""
    a100, trainium = (rent_of(find_hardware(name)) for name in ("a100", "trainium2"))
    assert a100 is not None and trainium is not None
    own = sorted(p.usd_per_device_hour for p in prices() if p.hardware == "a100-sxm-80gb" and p.kind != "spot")
    assert Fraction("1.99") in own and a100.middle == statistics.median(own)
    assert "1.49 to 2.49 (Lambda, CoreWeave, Vast.ai and RunPod, on demand, 2026)" in " ".join(rent_notes(a100))
    assert (trainium.low, trainium.middle, trainium.high) == (Fraction(50, 16), Fraction(55, 16), Fraction(60, 16))
    assert trainium.said() == (
        "Price assumed: 3.44 USD per GPU-hour (3.12 to 3.75: one source, AWS trn2.48xlarge, on demand, 2025/2026)."
    )


def test_one_price_has_no_range_and_says_that_it_is_one() -> None:
    t4 = rent_of(find_hardware("t4"))
    assert t4 is not None and not t4.ranges
    assert t4.said() == "Price assumed: 0.526 USD per GPU-hour (one source, AWS g4dn.xlarge, on demand, 2026)."
    assert list(rent_notes(t4)) == []


def test_a_price_that_is_given_has_no_range() -> None:
    given = rent_of(find_hardware("h100"), Fraction(2))
    assert given is not None
    assert {given.low, given.middle, given.high} == {Fraction(2)}
    assert (given.known, given.said()) == ("exact", "")


def test_a_file_of_ones_own_states_its_price() -> None:
    own = find_hardware("h100", ["price_usd_per_hour=3.5", "price_source=our contract, 2026"])
    rent = rent_of(own)
    assert rent is not None
    assert (rent.low, rent.middle, rent.high) == (Fraction(7, 2),) * 3
    assert rent.said() == "Price assumed: 3.5 USD per GPU-hour (our contract, 2026)."


def test_where_none_is_known_there_is_none() -> None:
    assert rent_of(find_hardware("gaudi2")) is None
    done = run("optimal", "--gpu", "gaudi2", "--dollars", "1e6")
    assert done.code == 2
    assert done.err == "tscale: Intel Gaudi2: no price of an hour is known: --price gives one\n"


@pytest.mark.parametrize("way", ["input", "output"])
def test_what_tokens_cost_is_a_range_too(way: str) -> None:
    found = answer("serve", "llama-3.1-8b", "--gpu", "h100", "--batch", "8")
    middle, ends = found[f"usd_per_million_{way}_tokens"], found[f"usd_per_million_{way}_tokens_range"]
    price = found["usd_per_gpu_hour"]
    assert ends["low"] / middle == pytest.approx(price["low"] / price["middle"])
    assert ends["high"] / middle == pytest.approx(price["high"] / price["middle"])
    given = answer("serve", "llama-3.1-8b", "--gpu", "h100", "--batch", "8", "--price", "2")
    assert given[f"usd_per_million_{way}_tokens_range"] is None
