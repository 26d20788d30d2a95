"""What an hour of an accelerator costs: given, of a file of one's own, or the range of what others ask."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from tests.helpers import answer, run
from tscale.answers.rent import rent_of
from tscale.catalogue.hardware import find_hardware, hardware_names
from tscale.catalogue.measured import prices


def test_every_price_is_of_hardware_that_is_shipped_and_has_a_date_and_a_source() -> None:
    for price in prices():
        assert price.hardware in hardware_names()
        assert re.fullmatch(r"20\d\d(-\d\d(-\d\d)?)?|20\d\d/20\d\d", price.date)
        assert price.source and price.provider
        assert Fraction(1, 20) < price.usd_per_device_hour < 25


def test_the_range_is_of_all_but_what_ends_when_somebody_bids_more() -> None:
    h100 = rent_of(find_hardware("h100"))
    assert h100 is not None
    own = sorted(p.usd_per_device_hour for p in prices() if p.hardware == "h100-sxm" and p.kind != "spot")
    assert (h100.low, h100.high) == (own[0], own[-1])
    assert h100.middle in own and len(h100.asked) == len(own)
    assert sum(price < h100.middle for price in own) <= len(own) / 2 >= sum(price > h100.middle for price in own)


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
    assert rent.said() == "The price is assumed, 3.5 USD a GPU-hour: our contract, 2026. --price gives yours."


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
