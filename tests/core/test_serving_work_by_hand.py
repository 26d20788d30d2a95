"""What a device does in a pass, of a model so small that each figure can be multiplied in the head."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.deployed import deployed
from tscale.core.costs.roofline import Dtypes, Pass, Setup, works
from tscale.core.costs.serving_share import Attended, Deployed, MatrixLine, StateLine, Structure
from tscale.core.costs.serving_work import Exchanges, Part, decoding, prefilling
from tscale.core.costs.weights import Mixture, weight_bytes
from tscale.core.device import Cluster, Device
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Block, Cache, Ledger, Matmul, Scan, Scores
from tscale.core.serving_layout import ServingLayout
from tscale.core.sharding import serving_share
from tscale.models.lower import lower
from tscale.models.resolve import resolve

SCORES = Scores("scores", "target", "target", heads=2, d_qk=3, d_v=4, causal=True, used=2)
SCAN = Scan("scan", "target", per_position=3, chunk=4, per_chunk=17, padded=False, used=2)


def small(**changes: Any) -> Deployed:
    """Three layers of width 5, two of them with 2 of 8 experts; FLOPs of a token and bytes of each part, at a peak of 1,000."""
    plain: dict[str, Any] = {
        "structure": Structure(layers=3, routed=2, latent=0, linear=0, indexed=0),
        "attention": (MatrixLine(10, 1000, 7),),
        "dense": (MatrixLine(20, 1000, 11), MatrixLine(6, 500, 2)),
        "experts": (MatrixLine(40, 1000, 64),),
        "head": (MatrixLine(30, 1000, 13),),
        "spread": 5,
        "attended": (Attended(SCORES, 10),),
        "state": StateLine(50, (SCAN,)),
        "rest_peak": 800,
        "experts_of_layer": 8,
        "chosen": 2,
        "d_model": 5,
        "tensor": 1,
        "copies": 1,
        "expert": 1,
        "expert_tensor": 1,
        "node": 8,
        "tables": 9,
        "groups": None,
    }
    return Deployed(**plain | changes)


def scored(**changes: Any) -> Deployed:
    return small(attended=(Attended(SCORES._replace(**changes), 10),))


def test_a_step_of_three_sequences() -> None:
    """Matrices at half the peak count twice. Of 8 experts, 3 tokens with 2 each meet 1 - (3/4)^3 in expectation."""
    work = decoding(small(), batch=3, keys=100)
    assert work.attention == Part(3 * 10, 1000, 7)
    assert work.dense == Part(3 * (20 + 2 * 6), 1000, 11 + 2)
    assert (work.experts.flops, work.experts.bytes) == pytest.approx((3 * 40, 64 * (1 - 0.75**3)))
    assert work.scores == Part(2 * 3 * 100 * 2 * 2 * (3 + 4), 800, 3 * 100 * 2 * 10)
    assert work.states == Part(2 * 3 * 2 * 3, 800, 3 * 2 * 50)
    assert work.head == Part(3 * 30, 1000, 13)
    assert (work.residual, work.loaded) == (3 * 5 * 2, 0)
    assert work.sent == Exchanges(0, 0, 0, 0)


def test_several_new_tokens_read_a_cache_once() -> None:
    work = decoding(small(), batch=3, keys=100, new=2)
    assert work.scores == Part(2 * 6 * 100 * 2 * 2 * 7, 800, 3 * 100 * 2 * 10)
    assert work.dense.flops == 6 * 32
    assert work.states == Part(2 * 6 * 2 * 3, 800, 3 * 2 * 50)


@pytest.mark.parametrize(
    ("changes", "keys", "seen", "width"),
    [
        ({}, 1, 1, 7), ({}, 2, 2, 7), ({"window": 40}, 39, 39, 7), ({"window": 40}, 100, 40, 7), ({"stride": 4}, 100, 25, 7),
        ({"stride": 4}, 103, 25, 7), ({"stride": 4, "window": 6}, 100, 6, 7), ({"behind": 3}, 100, 100, 7),
        ({"decoded": (6, 5)}, 100, 100, 11),
    ],
)  # fmt: skip
def test_a_step_scores_the_keys_that_it_sees(changes: dict[str, Any], keys: int, seen: int, width: int) -> None:
    work = decoding(scored(**changes), batch=3, keys=keys)
    assert (work.scores.flops, work.scores.bytes) == (2 * 3 * seen * 2 * 2 * width, 3 * seen * 2 * 10)


def test_a_prompt_of_ten_of_which_four_are_cached() -> None:
    """Six new tokens. Keys of the four are made anew of latents; the recurrence has one whole chunk of four."""
    work = prefilling(small(), 10, 4)
    assert work.attention == Part(6 * 10 + 4 * 5, 1000, 7)
    assert work.dense == Part(6 * 32, 1000, 13)
    assert (work.experts.flops, work.experts.bytes) == pytest.approx((6 * 40, 64 * (1 - 0.75**6)))
    assert work.scores == Part(2 * (5 + 6 + 7 + 8 + 9 + 10) * 2 * 2 * 7, 800, 10 * 2 * 10)
    assert work.states == Part(2 * 2 * (6 * 3 + 17), 800, 2 * 50)
    assert work.head == Part(30, 1000, 13)
    assert (work.residual, work.sent) == (6 * 5 * 2, Exchanges(0, 0, 0, 0))


def test_a_prompt_of_compressed_keys_reads_one_for_each_stride() -> None:
    """Of 10 positions two keys stand for four each: seen by the queries from the fourth on, and from the eighth on."""
    work = prefilling(scored(stride=4), 10)
    assert (work.scores.flops, work.scores.bytes) == (2 * (7 + 3) * 2 * 2 * 7, 2 * 2 * 10)


def test_pairs_in_a_chunk_are_counted_where_a_recurrence_has_them() -> None:
    """Six positions: one chunk of four and two left over."""
    work = prefilling(small(state=StateLine(50, (SCAN._replace(per_pair=5),))), 6)
    assert work.states.flops == 2 * 2 * (6 * 3 + 17 + 5 * (4 * 4 + 2 * 2))


def test_prompts_of_few_copies_send_fewer_tokens_to_experts() -> None:
    for together, everyone in ((None, 4 * 6), (3, 3 * 6), (0.01, 0.06)):
        work = prefilling(small(copies=4, expert=4), 10, 4, together)
        assert work.experts.flops == pytest.approx(everyone * 40)
        assert work.experts.bytes == pytest.approx(64 * (1 - 0.75 ** max(1, round(everyone))))
    assert decoding(small(copies=4, expert=4), 3, 10).experts.flops == 12 * 40


@pytest.mark.parametrize(
    ("ranks", "link", "away"), [(1, 0, 0), (4, 2 * 3 / 4, 0), (8, 2 * 7 / 8, 0), (16, 2 * 7 / 8, 2 * 1 / 2 / 8), (24, 2 * 7 / 8, 2 * 2 / 3 / 8)]
)  # fmt: skip
def test_all_reduces_of_each_layer(ranks: int, link: float, away: float) -> None:
    """Two a layer of 3 tokens by 5 numbers of 2 bytes: a ring in the node, and one device's part of it between the nodes."""
    sent = decoding(small(tensor=ranks), 3, 10).sent
    assert sent == pytest.approx((*(6 * 30 * link, 6 * 30 * away) * 2, 6 * 30 * away))


def test_experts_on_the_devices_of_a_node() -> None:
    """Four copies on two devices each. 3 tokens of 5 numbers are a byte there and two back, half of them from each device,
    to 2 experts, 7 of 8 of them elsewhere; a layer's other sums are over the two devices, all that is of dense layers too.
    """
    sent = decoding(small(tensor=2, copies=4, expert=8), 3, 10).sent
    link = (2 * 3 - 2) * 30 + 2 * (15 * 3 / 2 * 2 * 7 / 8)
    assert sent == pytest.approx((link, 0, link, 0, 0))


@pytest.mark.parametrize(
    "changes", [{"chosen": 12, "experts_of_layer": 64}, {"expert": 4, "expert_tensor": 2}, {"expert": 1}]
)
def test_tokens_are_gathered_where_that_is_less_or_experts_are_cut(changes: dict[str, Any]) -> None:
    """Of 12 experts each, 3/2·12·7/8 bytes of a number are more than the 2·7/8·4·2 of gathering and reducing over all 8."""
    sent = decoding(small(**{"tensor": 2, "copies": 4, "expert": 8} | changes), 3, 10).sent
    link = (2 * 3 - 2) * 30 + 2 * (2 * 7 / 8 * 15 * 4 * 2)
    assert sent == pytest.approx((link, 0, link, 0, 0))


def test_experts_on_two_nodes() -> None:
    """16 devices: of 3·15·2 bytes, 7 of 16 stay in the node and 8 of 16 leave it. A prompt's tokens go once to the other node,
    which has one of 2 experts of half of all 8 with 1 - 4·3/(8·7): 11/14 times; there, 7 of 8 go on over the link.
    """
    one = small(copies=16, expert=16)
    step, prompt = decoding(one, 3, 10).sent, prefilling(one, 3).sent
    assert step == pytest.approx((2 * 90 * 7 / 16, 2 * 90 * 8 / 16, 2 * 90 * 7 / 16, 2 * 45 * 11 / 14, 0))
    assert prompt == pytest.approx((2 * 90 * 7 / 8, 2 * 45 * 11 / 14, 2 * 90 * 7 / 16, 2 * 45 * 11 / 14, 0))


def test_what_two_nodes_gather_is_not_sent_in_turns() -> None:
    """Attention of 3 tokens over 16 devices, and experts that are cut: all that leaves a node is summed up or gathered."""
    for changes in (
        {"tensor": 16},
        {"copies": 16, "expert": 1},
        {"tensor": 2, "copies": 8, "expert": 2, "expert_tensor": 8},
    ):
        sent = decoding(small(**changes), 3, 10).sent
        assert 0 < sent.away == sent.summed


def test_a_part_of_a_node_counts_as_one() -> None:
    """12 devices in nodes of 8 are two nodes; 4 of them are elsewhere."""
    step = decoding(small(copies=12, expert=12), 3, 10).sent
    assert step == pytest.approx((2 * 90 * 7 / 12, 2 * 90 * 4 / 12, 2 * 90 * 7 / 12, 2 * 45 * 11 / 14, 0))


BF16 = Dtypes(DTYPES["bf16"], DTYPES["bf16"], {"": 10**15})


def of(model: str, *how: int) -> Deployed:
    return deployed(lower(resolve(model)), BF16, *how)


@pytest.mark.parametrize(
    ("model", "how"), [("gpt-oss-120b", (4, 1, 1, 4)), ("gpt-oss-120b", (2, 4, 8, 1)), ("mixtral-8x7b", (8, 1, 1, 8))]
)
@pytest.mark.parametrize("format", ["bf16", "int8", "fp8"])
def test_a_device_holds_what_memory_says(model: str, how: tuple[int, int, int, int], format: str) -> None:
    """Whose share of a model is cut entry by entry."""
    tensor, copies, expert, cut = how
    share = serving_share(lower(resolve(model)), ServingLayout(tensor, 1, expert, cut, copies))
    one = deployed(lower(resolve(model)), BF16._replace(weights=DTYPES[format]), *how)
    assert one.weight_bytes == weight_bytes(share, DTYPES[format], lower(resolve(model))).total


def test_a_device_holds_all_weights_of_a_model_that_is_not_divided() -> None:
    """Llama 3.1 8B's 8,030,261,248 parameters, of which 128,256 rows of 4,096 and 65 norms are no matrices."""
    one = of("llama-3.1-8b", 1)
    assert one.weight_bytes == 2 * 8_030_261_248
    assert one.tables == 2 * (128_256 * 4096 + 65 * 4096)
    assert (one.structure, one.d_model, one.groups) == (Structure(32, 0, 0, 0, 0), 4096, None)
    assert (one.experts_of_layer, one.chosen, one.devices) == (1, 1, 1)
    assert one.sequence_bytes(1000) == 1000 * 32 * 2 * 8 * 128 * 2


@pytest.mark.parametrize("tokens", [1000, 4096, 5000])
def test_layers_with_a_window_keep_no_more_than_it(tokens: int) -> None:
    """Gemma 2 9B: 21 layers of each kind, 8 heads of 256, 4,096 positions of a window."""
    assert of("gemma-2-9b", 1).sequence_bytes(tokens) == (tokens + min(tokens, 4096)) * 21 * 2 * 8 * 256 * 2


def test_layers_of_a_mixture_with_latents_are_counted_by_kind() -> None:
    """DeepSeek-V3: 61 layers, of which 3 are dense; 512 and 64 numbers a position in each, whichever device; 4 of 8 groups."""
    one = of("deepseek-v3", 1, 8, 8)
    assert one.structure == Structure(layers=61, routed=58, latent=61, linear=0, indexed=0)
    assert (one.experts_of_layer, one.chosen, one.groups) == (256, 8, (8, 4))
    assert one.sequence_bytes(10) == 10 * 61 * (512 + 64) * 2
    assert one.spread == 61 * 2 * 512 * 128 * (128 + 128)
    (experts,) = one.experts
    assert experts.bytes == 2 * 58 * 32 * 3 * 7168 * 2048
    assert experts.flops == 2 * 58 * 8 * 3 * 7168 * 2048 / 8


def test_experts_that_do_not_divide_leave_places_for_copies() -> None:
    """Mixtral's 8 over 3: three on each, and a third of the work; cut in two, half of each."""
    (whole,) = of("mixtral-8x7b", 1, 6, 3).experts
    (cut,) = of("mixtral-8x7b", 1, 6, 3, 2).experts
    matrices = 32 * 3 * 4096 * 14336
    assert (whole.bytes, whole.flops) == pytest.approx((2 * matrices * 3, 2 * matrices * 2 / 3))
    assert (cut.bytes, cut.flops) == pytest.approx((matrices * 3, matrices * 2 / 3))
    assert of("mixtral-8x7b", 2).structure.routed == 32


def test_scores_without_a_cache_of_their_own_read_none() -> None:
    """Two heads of 3 and 4 with a cache of 24 numbers of 2 bytes; the next one's is not there, and the last has none."""
    block = Block("decoder", "mixer")
    scores = SCORES._replace(cache=0, block=block)
    ledger = Ledger.of(
        "x",
        (scores, Cache("kv", "kv", "target", 24, block=block), scores._replace(cache=1), scores._replace(cache=None)),
    )
    assert [line.key_bytes for line in deployed(ledger, BF16, 1).attended] == [48, 0, 0]


@pytest.mark.parametrize(("stored", "used", "each"), [(6, 6, 1), (48, 12, 2)])
def test_layers_in_two_formats_are_computed_at_the_peak_of_each(stored: int, used: int, each: int) -> None:
    """Two of six layers in 8 bits at half of the peak of the others: of one matrix each, or of two of eight experts."""
    matrix = Matmul(
        "m",
        "up",
        "feed_forward",
        "target",
        32,
        64,
        experts=stored // 6,
        stored=stored,
        used=used,
        block=Block("decoder", "feed-forward"),
    )
    ledger = Ledger.of("x", (matrix,))
    kept = Mixture("x", "bf16", {0: ((DTYPES["fp8"], 2), (DTYPES["bf16"], 4))})
    dtypes = Dtypes(kept, DTYPES["bf16"], {"": 1000, "fp8": 500})
    one = deployed(ledger, dtypes, 1)
    size = stored // 6 * 2048
    assert (one.dense or one.experts) == (
        MatrixLine(2 * 2 * each * 2048, 500, 2 * size),
        MatrixLine(2 * 4 * each * 2048, 1000, 4 * size * 2),
    )
    cluster = Cluster(Device("card", {}, 0, 10, 100, None), 8, 50)
    lines = works(Setup(ledger, ledger, dtypes, cluster), Pass(3, 1, 9, 1, decoding=True))
    assert [(line.flops, line.peak) for line in lines] == [
        (2 * 3 * 2 * each * 2048, 500),
        (2 * 3 * 4 * each * 2048, 1000),
    ]
    met = 1.0 if stored == 6 else 1 - 0.75**3
    assert [line.weights for line in lines] == pytest.approx([2 * size * met, 4 * size * 2 * met])


@pytest.mark.parametrize(
    ("changes", "tokens", "kept"),
    [({}, 10, 10), ({"stride": 4}, 10, 2), ({"stride": 4, "window": 1}, 11, 2), ({"window": 6}, 10, 6), ({"window": 6}, 5, 5), ({"window": 6, "decoded": (6, 5)}, 10, 10)],
)  # fmt: skip
def test_a_sequence_keeps_its_positions_and_its_state(changes: dict[str, Any], tokens: int, kept: int) -> None:
    """Of two layers 10 bytes each: one for each stride, a window's where they slide, all where keys are picked; 50 of a state."""
    assert scored(**changes).sequence_bytes(tokens) == kept * 2 * 10 + 50


@pytest.mark.parametrize(
    ("new", "decoding", "chunks", "pairs"),
    [(5, False, 1, 4 * 4 + 1), (5, True, 0, 0), (3, False, 0, 9), (8, False, 2, 32)],
)
def test_chunks_of_a_recurrence_are_those_of_a_prompt(new: int, decoding: bool, chunks: int, pairs: int) -> None:
    """Whole chunks of four and pairs within chunks; while decoding none, also where as many guesses are verified at once."""
    scan = SCAN._replace(per_pair=5)
    for entry, of_pairs in ((SCAN, 0), (scan, 5 * pairs), (scan._replace(per_chunk=0), 5 * pairs)):
        ledger = Ledger.of("x", (entry,))
        cluster = Cluster(Device("card", {}, 0, 10, 100, None), 8, 50)
        (line,) = works(Setup(ledger, ledger, BF16, cluster), Pass(3, new, 9, 1, decoding=decoding))
        assert line.flops == 2 * 3 * 2 * (new * 3 + chunks * entry.per_chunk + of_pairs)
