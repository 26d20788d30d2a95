"""Which tokens a model reads is said with how to give it some, and what is given on another stream is refused."""

from __future__ import annotations

from itertools import product

import pytest

import tscale
from tscale.counting import _reading
from tscale.errors import TscaleError

BOTH = "source and target tokens: give tscale.run_of(spec, 512), or SequenceLengths(target=512, source=512)"
ALONE = "{} tokens alone: give tscale.run_of(spec, 512), or SequenceLengths(target={}, source={})"


def test_a_model_reads_tokens_of_one_stream_or_of_both() -> None:
    assert _reading({"source", "target"}) == BOTH
    assert _reading({"target"}) == ALONE.format("target", 512, 0)
    assert _reading({"source"}) == ALONE.format("source", 0, 512)


@pytest.mark.parametrize(("name", "reads"), [("gpt2", (1, 0)), ("bert-base", (0, 1)), ("t5-small", (1, 1))])
def test_a_run_has_tokens_on_the_streams_that_are_read(name: str, reads: tuple[int, int]) -> None:
    spec = tscale.load(name)
    for target, source in product((0, 8), (0, 8)):
        if target or source:
            run = tscale.SequenceLengths(target, source)
            if (bool(target), bool(source)) == tuple(map(bool, reads)):
                assert tscale.forward_flops(spec, run).total > 0
            else:
                with pytest.raises(TscaleError, match=f"{name} reads "):
                    tscale.forward_flops(spec, run)


def test_a_run_of_a_context_is_on_the_streams_of_its_model() -> None:
    """An encoder-decoder's may be given apart; a single stack has none but its context's."""
    assert tscale.run_of(tscale.load("gpt2"), 8)[:2] == (8, 0)
    assert tscale.run_of(tscale.load("bert-base"), 8)[:2] == (0, 8)
    t5 = tscale.load("t5-small")
    assert tscale.run_of(t5, 8)[:2] == (8, 8)
    assert tscale.run_of(t5, 8, source=3)[:2] == (8, 3)
    assert tscale.run_of(t5, 8, target=3)[:2] == (3, 8)
    assert tscale.run_of(t5, 8, source=2, target=3)[:2] == (3, 2)
    for stream in ({"source": 3}, {"target": 3}):
        with pytest.raises(TscaleError, match=f"has a single stack: leave out {next(iter(stream))}"):
            tscale.run_of(tscale.load("gpt2"), 8, **stream)
    whisper = tscale.load("whisper-tiny")
    with pytest.raises(TscaleError, match="always reads 1500 audio frames: leave out source"):
        tscale.run_of(whisper, 8, source=3)
    assert tscale.run_of(whisper, 8)[:2] == (8, 1500)
