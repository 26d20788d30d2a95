"""Heads that guess tokens, against the weights that their makers publish of them."""

from __future__ import annotations

import pytest

from tests.helpers import run
from tscale.core.costs.params import params
from tscale.errors import TscaleError
from tscale.models.draft_heads import DraftHead, draft_head
from tscale.models.lower import lower
from tscale.models.resolve import resolve


def own_params(name: str, kind: DraftHead) -> int:
    """Weights of a head beside the table of tokens that it shares."""
    spec = resolve(name)
    return params(lower(draft_head(spec, kind)).whole).total - int(spec.vocabulary * spec.d_model)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("llama-2-7b", 0.24e9), ("llama-2-13b", 0.37e9), ("llama-2-70b", 0.99e9), ("llama-3-8b", 0.25e9), ("llama-3-70b", 0.99e9), ("qwen2.5-7b", 0.26e9),
        ("qwen2.5-14b", 0.33e9),
    ],
)  # fmt: skip
def test_an_eagle_head_has_as_many_weights_as_published(name: str, published: float) -> None:
    """SafeAILab/EAGLE, README.md, "EAGLE Weights", column "# EAGLE Parameters", in hundredths; its Qwen2 7B has the layers of Qwen2.5.

    Left out: 1.05B of Qwen2 72B, where a layer of that model with a matrix [2d, d] has 1.01B.
    """
    assert own_params(name, "eagle") == pytest.approx(published, abs=0.0055e9)


def test_an_eagle_3_head_by_hand() -> None:
    """Of Llama 3.1 8B: q, k, v of 2d inputs, o, three matrices [d, 14336], [3d, d], 32,000 words, three norms (vLLM, llama_eagle3.py)."""
    d, kv = 4096, 8 * 128
    matrices = 2 * d * (d + 2 * kv) + d * d + 3 * d * 14336 + 3 * d * d + 32_000 * d
    assert own_params("llama-3.1-8b", "eagle-3") == matrices + 3 * d


def test_an_mtp_module_is_the_last_layer_once_more() -> None:
    """README_WEIGHTS.md of DeepSeek-V3: 11.5B beside the shared table and head; Qwen3.5-397B's is of its plain attention."""
    assert own_params("deepseek-v3", "mtp") == pytest.approx(11.5e9, rel=0.01)
    (mixer,) = draft_head(resolve("qwen3.5-397b-a17b"), "mtp").mixers
    assert mixer.kind == "multi-head"


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("bert-base", "mtp", "such a head is known of decoders"),
        ("mamba-2.8b", "mtp", "has not both attention and a feed-forward"),
        ("deepseek-v3", "eagle", "plain attention and dense feed-forwards alone"),
    ],
)
def test_a_head_that_is_not_known_is_refused(name: str, kind: DraftHead, said: str) -> None:
    with pytest.raises(TscaleError, match=said):
        draft_head(resolve(name), kind)


@pytest.mark.parametrize(("given", "meant"), [("eagle3", "eagle-3"), ("egale", "eagle"), ("EAGEL-3", "eagle-3")])
@pytest.mark.parametrize("asked", [("memory",), ("serve", "--gpu", "h100", "--acceptance", "0.7")])
def test_a_misspelled_head_is_told_which_is_meant(asked: tuple[str, ...], given: str, meant: str) -> None:
    done = run(asked[0], "llama-3.1-8b", *asked[1:], "--draft", given)
    assert (done.code, done.err.strip()) == (
        2,
        f'tscale: --draft: no model and no head "{given}": did you mean {meant}?',
    )


def test_a_head_is_spelled_as_a_model_may_be() -> None:
    asked = ("memory", "llama-3.1-8b", "--format", "json", "--draft")
    assert run(*asked, "EAGLE_3").out == run(*asked, "eagle-3").out


def test_what_is_near_no_head_is_no_model() -> None:
    assert 'no model "n-gram"' in run("memory", "llama-3.1-8b", "--draft", "n-gram").err


def test_memory_holds_a_head() -> None:
    assert (
        "Llama 3.1 8B's EAGLE-3 head guesses tokens"
        in run("memory", "llama-3.1-8b", "--draft", "eagle-3", "--details", columns=400).out
    )
