"""Predictions and bounds of passes, of parts that are round numbers, added up term by term."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from tscale.core.costs.serving_prediction import (
    Chip,
    Load,
    ServingConstants,
    host_seconds,
    launch_seconds,
    least_seconds,
    pool_seconds,
    prefill_seconds,
    prompt_seconds,
    step_seconds,
    tpot_seconds,
    ttft_seconds,
)
from tscale.core.costs.serving_share import Structure
from tscale.core.costs.serving_work import Exchanges, Part, PassWork

ONES = ServingConstants(**{one.name: 1.0 for one in fields(ServingConstants)})
NOTHING = replace(
    ONES,
    **{
        one.name: 0.0
        for one in fields(ServingConstants)
        if one.name.startswith(("layer", "routed", "latent_", "linear_", "indexed", "collective", "start"))
    },
)
WORK = PassWork(
    attention=Part(6, 2, 1), dense=Part(20, 4, 1), experts=Part(14, 2, 1), scores=Part(33, 3, 1), states=Part(65, 5, 1), head=Part(17, 1, 1),
    sent=Exchanges(link=38, away=46, least_link=58, least_away=62), residual=7, loaded=30,
)  # fmt: skip
"""Computing takes 3, 5, 7, 11, 13 and 17 seconds."""
CHIP = Chip(memory=10, link=2, network=2, host=5)
STRUCTURE = Structure(layers=100, routed=60, latent=40, linear=30, indexed=20)
LOAD = Load(batch=9, queue=5, output=4, doublings=3, together=1, waited=2, launches=6)


@pytest.mark.parametrize("name", ["attention", "dense", "experts", "scores", "states", "head"])
def test_a_part_takes_the_longer_of_computing_and_reading(name: str) -> None:
    """All computing takes 56 s, sending 38/2 and 46/2, the residual 100·7/10; a part that reads 1,000 bytes takes 100 s."""
    rest = 19 + 23 + 70
    assert step_seconds(WORK, STRUCTURE, CHIP, LOAD, NOTHING) == pytest.approx(3 + 5 + 7 + 11 + 13 + 17 + rest)
    part: Part = getattr(WORK, name)
    changed: dict[str, Any] = {name: part._replace(bytes=1000)}
    slow = WORK._replace(**changed)
    assert step_seconds(slow, STRUCTURE, CHIP, LOAD, NOTHING) == pytest.approx(56 - part.flops / part.peak + 100 + rest)


def test_shares_make_a_step_longer() -> None:
    """Half of the peak for all, a quarter of the link, a fifth of the network of which a tenth is not hidden, three passes."""
    c = replace(NOTHING, compute=0.5, link=0.25, network=0.2, exposed=0.1, elementwise=3.0)
    assert step_seconds(WORK, STRUCTURE, CHIP, LOAD, c) == pytest.approx(2 * 56 + 4 * 19 + 0.1 * 5 * 23 + 3 * 70)
    read = Part(0, 1, 10)
    reads = WORK._replace(attention=read, dense=read, experts=read, scores=read, states=read, head=read)
    slow = replace(NOTHING, read_weights=1 / 2, read_experts=1 / 3, read_cache=1 / 5, read_states=1 / 7)
    assert step_seconds(reads, STRUCTURE, CHIP, LOAD, slow) == pytest.approx(3 * 2 + 3 + 5 + 7 + 19 + 23 + 70)


def test_guessed_tokens_go_through_matrices_as_those_of_a_prompt_do() -> None:
    """Of two tokens of a sequence one is at half of the peak and one at a quarter; of three passes over the residual one token's count."""
    c = replace(NOTHING, compute=0.5, first_dense=0.25, elementwise=3.0)
    matrices, others = 3 + 5 + 17, 7 + 11 + 13
    products = matrices / 2 * 2 + matrices / 2 * 4 + others * 2
    assert step_seconds(WORK, STRUCTURE, CHIP, LOAD, c, new=2) == pytest.approx(products + 19 + 23 + 3 * 70 / 2)
    assert step_seconds(WORK, STRUCTURE, CHIP, LOAD, c) == pytest.approx(2 * 56 + 19 + 23 + 3 * 70)


def test_the_bus_of_a_host_has_a_share_of_its_own() -> None:
    """46 over 2 bytes/s of the network at a fifth of it, or of the bus at a quarter."""
    c = replace(NOTHING, network=0.2, bus=0.25)
    nics, bus = (step_seconds(WORK, STRUCTURE, CHIP._replace(bus=one), LOAD, c) for one in (0.0, 1.0))
    assert (nics - bus) == pytest.approx(23 * (5 - 4))
    assert prompt_seconds(WORK, CHIP._replace(bus=1.0), c) == pytest.approx(8 + 7 + 11 + 13 + 19 + 4 * 23)


def test_launches_layer_by_layer() -> None:
    c = replace(
        NOTHING, layer=2.0, collective=3.0, routed_layer=5.0, latent_layer=7.0, linear_layer=11.0, indexed_layer=13.0
    )
    assert launch_seconds(STRUCTURE, LOAD, c) == 100 * (2 + 3 * 3) + 60 * 5 + 40 * 7 + 30 * 11 + 20 * 13
    assert step_seconds(WORK, STRUCTURE, CHIP, LOAD, c) == pytest.approx(168 + launch_seconds(STRUCTURE, LOAD, c))


def test_a_further_stage_launches_and_receives_once_more() -> None:
    """Two more stages: 2 s of launches each, and the residual stream of 7 bytes over half of a link of 2 bytes/s."""
    c = replace(NOTHING, layer=2.0, link=0.5)
    one = step_seconds(WORK, STRUCTURE, CHIP, LOAD, c)
    assert step_seconds(WORK, STRUCTURE, CHIP, LOAD, c, 3) == pytest.approx(one + 2 * (2 + 7 / (2 * 0.5)))


def test_a_prompt_computes_at_shares_of_its_own() -> None:
    """Of its head nothing is counted. Beside others 1/2, 1/3, 1/5 and 1/7; to its first token 1/11, 1/13, 1/17 and 1/19."""
    c = replace(
        NOTHING, prompt_dense=1 / 2, prompt_experts=1 / 3, prompt_packed=1 / 4, prompt_scores=1 / 5, prompt_states=1 / 7,
        first_dense=1 / 11, first_experts=1 / 13, first_scores=1 / 17, first_states=1 / 19, link=0.5, first_link=0.25,
    )  # fmt: skip
    assert prompt_seconds(WORK, CHIP, c) == pytest.approx(2 * 8 + 3 * 7 + 5 * 11 + 7 * 13 + 2 * 19 + 23)
    assert prefill_seconds(WORK, CHIP, c) == pytest.approx(11 * 8 + 13 * 7 + 17 * 11 + 19 * 13 + 4 * 19 + 23 + 6)


def test_experts_of_a_prompt_take_copies_of_its_tokens() -> None:
    """Three passes over 50 bytes at 10 bytes/s, but where a published rate has them; in 4 bits products take 4 times 7 s, not 3 times."""
    c = replace(NOTHING, prompt_experts=1 / 3, prompt_packed=1 / 4, prompt_routing=3.0)
    none, eight = (prompt_seconds(WORK._replace(copied=copied), CHIP, c) for copied in (0.0, 50.0))
    assert eight - none == pytest.approx(3 * 50 / 10)
    assert prompt_seconds(WORK._replace(packed=1.0), CHIP, c) - none == pytest.approx((4 - 3) * 7)
    known = WORK._replace(rows=4096.0)
    assert prompt_seconds(known._replace(copied=50.0), CHIP, c) == prompt_seconds(known, CHIP, c)


def test_a_token_waits_for_the_prompts_of_others() -> None:
    """Of eight others whose answers have four tokens, two prompts of 3 s fall on a token, at half of their time."""
    c = replace(ONES, interference=0.5, mixed=0.0)
    assert tpot_seconds(10, 3, STRUCTURE, LOAD, c) == pytest.approx(10 + 0.5 * 8 / 4 * 3)
    assert tpot_seconds(10, 3, STRUCTURE, LOAD._replace(together=0), c) == 10
    assert tpot_seconds(10, 3, STRUCTURE, LOAD, c, 2.5) == pytest.approx(10 / 2.5 + 0.5 * 8 / 4 * 3)


@pytest.mark.parametrize(("requests", "at_once"), [(50, 5), (25, 5), (5, 5), (50, 0)])
def test_a_run_begins_with_as_many_prompts_as_come_at_once(requests: int, at_once: int) -> None:
    """Taken in one after the other, each waits for those before it, later ones for none; ten for each is usual, and what `queue` is of."""
    waits, usual = sum(range(at_once)) / requests, sum(range(5)) / 50
    c = replace(ONES, queue=usual / 4, waiting=0.0, mixed=0.0)
    load = LOAD._replace(begun=at_once / requests)
    alone, first = (ttft_seconds(WORK, 10, STRUCTURE, CHIP, load._replace(queue=queue), c) for queue in (1, 5))
    assert first - alone == pytest.approx(waits * prefill_seconds(WORK, CHIP, c))
    met = tpot_seconds(10, 3, STRUCTURE, load, c) - 10
    assert met / (8 / 4 * 3) == pytest.approx((1 - at_once / requests / 2) / 0.95)


@pytest.mark.parametrize(
    ("change", "yielded", "seconds"),
    [({}, 1, 25), ({"mixing": 0}, 1, 35), ({"output": 16}, 1, 10 + 15 / 2), ({"batch": 1}, 1, 10), ({"together": 0}, 1, 10), ({}, 2, 5 + 15 / 2), ({"output": 32}, 2, 5 + 15 / 4)],
)  # fmt: skip
def test_a_step_with_a_prompt_takes_what_the_host_launches(
    change: dict[str, float], yielded: float, seconds: float
) -> None:
    """25 s for 100 layers, 15 more than a step without, or all of them where nothing decodes meanwhile; no step has it twice.

    Of 16 tokens of an answer, half have one of eight others' prompts beside them; of 32 in steps of two, a quarter of the tokens.
    """
    c = replace(ONES, mixed=0.25)
    assert tpot_seconds(10, 3, STRUCTURE, LOAD._replace(**change), c, yielded) == pytest.approx(seconds)


def test_the_first_token_waits_for_its_start_its_turn_and_its_prefill() -> None:
    """A prefill takes 8 + 7 + 11 + 13 s of computing, 19 + 23 of sending and 6 from the host: 87. Four others are before it."""
    c = replace(
        ONES, layer=0.0, collective=0.0, routed_layer=0.0, latent_layer=0.0, linear_layer=0.0, indexed_layer=0.5, start=0.5, start_routed=2.0, start_latent=3.0,
        start_linear=5.0, queue=0.25, steps=3.0, waiting=7.0, apart=11.0,
    )  # fmt: skip
    start = 0.5 * (100 + 2 * 60 + 3 * 40 + 5 * 30)
    both = start + 87 + 0.25 * 4 * 87 + 6 * 20 * 0.5
    assert ttft_seconds(WORK, 10, STRUCTURE, CHIP, LOAD, c) == pytest.approx(both + (3 + 2) * 10 + 7 * 2)
    assert ttft_seconds(WORK, 10, STRUCTURE, CHIP, LOAD._replace(together=0), c) == pytest.approx(both + 11 * 2)
    reading = WORK._replace(attention=Part(6, 2, 500), dense=Part(20, 4, 300), experts=Part(14, 2, 400))
    slow = start + 120 + 0.25 * 4 * 87 + 6 * 20 * 0.5
    assert ttft_seconds(reading, 10, STRUCTURE, CHIP, LOAD._replace(together=0), c) == pytest.approx(slow + 11 * 2)


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 56), ({"head": Part(17, 1, 555)}, 56), ({"head": Part(17, 1, 565)}, 57), ({"head": Part(27, 1, 1)}, 66),
        ({"sent": Exchanges(0, 0, 240, 0)}, 60), ({"sent": Exchanges(999, 999, 0, 260)}, 65), ({"loaded": 400}, 80),
    ],
)  # fmt: skip
def test_a_bound_is_the_longest_of_all_that_may_overlap(changes: dict[str, object], seconds: float) -> None:
    """56 s of computing, 6 bytes that are read, half of 58 and 62 bytes that are sent over 2 a second, 30 from the host over 5."""
    assert least_seconds(WORK._replace(**changes), CHIP) == pytest.approx(seconds)  # type: ignore[arg-type]


def test_kernels_of_published_rates_send_on_while_the_network_brings_more() -> None:
    """38/2 s over a link of which they have a fifth, or 46/2 s over a fourth of the network: the longer, of which a tenth is not hidden."""
    c = replace(NOTHING, forwarded=0.2, network=0.25, exposed=0.1)
    sent = WORK._replace(rows=8.0)
    away = sent._replace(sent=Exchanges(link=2, away=46, least_link=58, least_away=62))
    apart, together = (
        prompt_seconds(one, CHIP, c) - prompt_seconds(one._replace(sent=Exchanges(0, 0, 0, 0)), CHIP, c)
        for one in (sent, away)
    )
    assert (apart, together) == pytest.approx((0.1 * 5 * 19, 0.1 * 4 * 23))
    assert prompt_seconds(WORK, CHIP, c) == pytest.approx(3 + 5 + 7 + 11 + 13 + 19 + 0.1 * 4 * 23)


def test_a_pool_for_prompts_takes_them_one_by_one() -> None:
    """Five requests at 3 s each come as fast as answers of four tokens at 2 s leave; where steps are shared there is no pool."""
    assert pool_seconds(3, 2, LOAD._replace(together=0)) == 5 * 3 - 4 * 2
    assert pool_seconds(3, 2, LOAD) == 0


def test_those_without_a_place_to_decode_wait_until_one_is_free() -> None:
    """Nine requests on three places, each taken for four tokens at 2 s: two rounds are waited for, where prompts take less."""
    assert pool_seconds(3, 2, LOAD._replace(together=0, places=3)) == 2 * 4 * 2
    assert pool_seconds(3, 2, LOAD._replace(together=0, places=9)) == 5 * 3 - 4 * 2
    assert pool_seconds(3, 2, LOAD._replace(places=3)) == 0


def test_kernels_that_are_compiled_first_make_first_tokens_later() -> None:
    c = replace(NOTHING, cold=6.5)
    plain, cold = (ttft_seconds(WORK, 1, STRUCTURE, CHIP, LOAD._replace(cold=one), c) for one in (0.0, 1.0))
    assert cold - plain == pytest.approx(6.5)


@pytest.mark.parametrize(
    ("link", "away", "seconds"), [(600, 0, 100), (0, 1300, 130), (600, 1300, 130), (900, 1300, 150)]
)
def test_a_bound_sends_half_at_each_level_at_once(link: float, away: float, seconds: float) -> None:
    """Over 3 bytes a second of a link, and 5 between nodes."""
    work = WORK._replace(sent=Exchanges(0, 0, link, away))
    assert least_seconds(work, CHIP._replace(link=3, network=5)) == pytest.approx(seconds)


def test_what_is_sent_is_over_each_level_s_own_bandwidth() -> None:
    """38 bytes over a half of 3 bytes a second and 46 over a fourth of 5, a tenth of which is not hidden."""
    c, chip = replace(NOTHING, link=0.5, network=0.25, exposed=0.1), CHIP._replace(link=3, network=5)
    plain = step_seconds(WORK._replace(sent=Exchanges(0, 0, 0, 0)), STRUCTURE, chip, LOAD, c)
    assert step_seconds(WORK, STRUCTURE, chip, LOAD, c) - plain == pytest.approx(38 / 1.5 + 0.1 * 46 / 1.25)
    summed = WORK._replace(sent=WORK.sent._replace(summed=16))  # which batches that take turns do not hide
    assert step_seconds(summed, STRUCTURE, chip, LOAD, c) - plain == pytest.approx(38 / 1.5 + (16 + 0.1 * 30) / 1.25)


def test_the_host_launches_each_layer_where_a_step_is_no_graph() -> None:
    c = replace(ONES, eager=0.25)
    assert host_seconds(STRUCTURE, LOAD, c) == 0
    assert host_seconds(STRUCTURE, LOAD._replace(eager=1), c) == 100 * 0.25


@pytest.mark.parametrize(("host", "step", "prompt"), [(10, 2, 6), (10, 2, 15), (3, 4, 9), (5, 5, 5)])
def test_over_many_steps_the_longer_of_launching_and_computing_counts(host: float, step: float, prompt: float) -> None:
    """Launched step by step: the host is one step ahead at the most, and the devices end no step before all of it is launched.

    One step in ten takes in a prompt. Exact where a prompt's step is no longer than two of the host's, or all are longer than one.
    """
    launched, done = [0.0], [0.0]
    for number in range(1, 20_001):
        begin = max(launched[-1], done[-2] if number > 1 else 0.0)  # the next but one waits for what the first brought
        launched.append(begin + host)
        done.append(max(launched[-1], done[-1] + step + (prompt if number % 10 == 0 else 0)))
    assert done[-1] / 20_000 == pytest.approx(max(host, step + prompt / 10), rel=1e-3)
