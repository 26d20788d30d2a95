"""Every contradiction that a spec can hold is refused, each with its own line: what is wrong, and what to do about it."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tscale
from tests.helpers import of_each
from tscale.catalogue.models import built_in
from tscale.errors import SpecErrors
from tscale.models.validation import validated
from tscale.models.writing import plain, yaml_of
from tscale.models.yaml_file import Document, parse_document

DROP = object()

LONG = ["local", *["global"] * 256]
MAMBA = {"kind": "mamba"}
ATTENTION = {"heads": 12}
TOWER = {
    "part": "vision_tower",
    "pieces": [{"kind": "layers", "layers": 2, "d_model": 8, "attention": {"heads": 2, "on": {"first": 1}}}],
}
INDEXED = {"kind": "indexed", "index_heads": 2, "index_dim": 16, "index_block": 8, "index_top_blocks": 2}
COMPRESSED = {
    "kind": "compressed",
    "heads": 8,
    "head_dim": 16,
    "q_rank": 16,
    "groups": 2,
    "group_rank": 8,
    "window": 32,
}
EXPERTS = {"kind": "experts", "experts": 8, "top_k": 2, "d_ff": 64}
RELEASE = {
    "name": "a/b-FP8",
    "dtype": "fp8",
    "weights": {"format": "fp8-row"},
    "source": "config.json",
    "evidence": "primary",
}

REFUSED: tuple[tuple[str, dict[str, Any], str], ...] = (
    # towers
    ("gpt2", {"towers": [TOWER | {"input": {"kind": "sound", "positions_per_second": 50}}]}, "towers.0.input.kind: it is not how images are read: choose another kind, or set reads"),
    ("gpt2", {"towers": [TOWER | {"input": {"kind": "split", "tile": 8, "patches": 4, "outputs": 4}}]}, "towers.0.input.longest: set either longest or max_tiles: one of them says how an image is split"),
    ("gpt2", {"towers": [TOWER]}, "towers.0.pieces.0.attention.on: every layer of a tower's stack is alike: write another stack for others"),
    ("gpt2", {"towers": [{"part": "vision_tower", "pieces": [{"kind": "layers", "layers": 2, "d_model": 8, "unread": 3}]}]}, "towers.0.pieces.0.unread: there are 2 layers: set at most as many"),
    # adapters
    ("gpt2", {"adapter": {"rank": 4, "targets": ["q"], "places": [{"target": "q", "rank": 4, "layers": [12]}]}}, "adapter.places.0.layers: layer 12 is none of 12, counted from 0"),
    # attention
    ("gpt2", {"attention": {"kind": "augmented", "attention": {"heads": 12, "on": {"first": 1}}}}, "attention.attention.on: it stands where its pieces do: say which layers outside of it"),
    ("gpt2", {"attention": {"kind": "augmented", "attention": {"heads": 12}, "mixer": {"kind": "short-conv"}}}, "attention.mixer: it stands in place of attention: drop one of the two"),
    ("gpt2", {"attention": {"kind": "augmented", "attention": {"heads": 12}, "image_width": 8}}, "attention.image_width: no attention reads an image: set image_attention"),
    ("gpt2", {"attention.heads": 7}, "attention.heads: 7 heads do not divide d_model 768: set head_dim, or heads to a divisor of 768"),
    ("gpt2", {"attention.kv_heads": 5}, "attention.kv_heads: 5 kv_heads do not divide 12 heads: every key-value head serves as many heads"),
    ("gpt2", {"attention.differential": True, "attention.v_dim": 8}, "attention.v_dim: heads in pairs sum values of two heads' width: drop v_dim, or differential"),
    ("gpt2", {"attention.values_are_keys": True, "attention.v_dim": 8}, "attention.v_dim: values that are keys are as wide as them: drop v_dim, or values_are_keys"),
    ("gpt2", {"attention.borrows_keys": True, "attention.values_are_keys": True}, "attention.values_are_keys: a layer that borrows its keys has no projection to take values from: drop it"),
    ("gpt2", {"attention.borrows_keys": True, "attention.v_norm": True}, "attention.v_norm: a layer that borrows its values has them normalised already: drop it"),
    ("gpt2", {"attention.gate_bias": True}, "attention.gate_bias: there is no gate to have a bias: set gated, or drop it"),
    ("gpt2", {"attention.qk_norm_bias": True}, "attention.qk_norm_bias: there is no norm to have a bias: set qk_norm, or drop it"),
    ("gpt2", {"attention.pattern": ["local", "global"]}, "attention.pattern: a pattern with local layers needs the window that they see: set window"),
    ("gpt2", {"attention.pattern": ["global"], "attention.window": 64}, "attention.window: no layer of the pattern is local, so nothing reads the window: drop it"),
    ("gpt2", {"attention.pattern": LONG, "attention.window": 64}, "attention.pattern: a pattern of 257 layers is no pattern: write at most 256"),
    ("gpt2", {"attention.pattern": []}, "attention.pattern: an empty pattern says nothing: drop it, or list local and global"),
    ("gpt2", {"attention.chunked": True}, "attention.chunked: a chunk needs its length: set window"),
    ("gpt2", {"attention.borrows_keys": True}, "attention: keys are borrowed and no layer has any: drop borrows_keys from one of the blocks"),
    # other mixers
    ("gpt2", {"attention": INDEXED | {"attention": {"heads": 12, "window": 8}}}, "attention.attention.window: the indexer says which keys a query sees: drop window"),
    ("gpt2", {"attention": INDEXED | {"attention": {"heads": 12, "on": {"first": 1}}}}, "attention.attention.on: the indexer stands in the same layers: say which outside of the two"),
    ("gpt2", {"embedding.more_rows": 8}, "embedding.more_rows: a head that is the table has as many rows: drop it, or set tied to false"),
    ("deepseek-v3", {"attention.index_heads": 8}, "attention.index_heads: an indexer needs both index_heads and index_dim: set both, or neither"),
    ("deepseek-v3", {"attention.index_heads": 8, "attention.index_dim": 8}, "attention.index_top_k: an indexer picks keys for the queries: set index_top_k to how many"),
    ("deepseek-v3", {"attention.gated_queries": True, "attention.gated": True}, "attention.gated_queries: a gate is expanded from the queries' latent: set q_rank, and drop gated"),
    ("deepseek-v3", {"attention.window": 64, "attention.index_top_k": 8}, "attention.window: an indexer says which keys a query sees: drop window, or index_top_k"),
    ("deepseek-v3", {"attention.index_pool": 4}, "attention.index_pool: there is no indexer whose keys are pooled: set index_heads, or drop it"),
    ("gpt2", {"attention": COMPRESSED | {"groups": 7}}, "attention.groups: 7 groups do not divide 8 heads of 16: set groups to a divisor"),
    ("gpt2", {"attention": COMPRESSED | {"ratio": 4, "index_heads": 2}}, "attention.index_heads: an indexer needs index_heads, index_dim and index_top_k: set all three, or none"),
    ("gpt2", {"attention": COMPRESSED | {"overlapping": True}}, "attention.ratio: nothing is compressed, so there is nothing to overlap or to pick: set ratio"),
    ("gpt2", {"streams": {"kind": "hyper-connections", "count": 1}}, "streams.count: one residual stream is what every model has: drop streams, or set count to 2 or more"),
    ("gpt1", {"streams": {"kind": "hyper-connections", "count": 4}}, "streams: several residual streams are known in a decoder with norms before its sub-layers only: drop it"),
    ("mamba-130m", {"streams": {"kind": "predicting", "count": 3, "buckets": 8}}, "streams: streams that predict are known in a decoder with multi-head attention only: drop them"),
    ("gpt2", {"streams": {"kind": "predicting", "count": 1, "buckets": 8}}, "streams.count: one residual stream is what every model has: drop streams, or set count to 2 or more"),
    ("gpt2", {"streams": {"kind": "predicting", "count": 65, "buckets": 8}}, "streams.count: 65 streams are more than are counted: set at most 64"),
    ("jetmoe-8b", {"attention.top_k": 99}, "attention.top_k: a token cannot use 99 of 8 experts: set top_k to at most 8"),
    ("mamba-130m", {"attention.heads": 7}, "attention.heads: 7 heads do not divide 1536 channels: every head has as many"),
    ("mamba-codestral-7b", {"attention.groups": 7}, "attention.groups: 7 groups do not divide 128 heads: every group serves as many heads"),
    ("recurrentgemma-2b", {"attention.0.blocks": 7}, "attention.blocks: 7 blocks do not divide 2560 channels: set blocks to a divisor of it"),
    ("qwen3-next-80b-a3b", {"attention.0.key_heads": 7}, "attention.key_heads: 7 key_heads do not divide 32 value_heads: every key serves as many"),
    ("falcon-h1-0.5b", {"attention.mamba.groups": 7}, "attention.mamba.groups: 7 groups do not divide 24 heads: every group serves as many heads"),
    ("falcon-h1-0.5b", {"attention.mamba.on": {"first": 1}}, "attention.mamba.on: both stand in the same layers: say which outside of the two"),
    # shared blocks
    ("zamba2-1.2b", {"attention.1.heads": 7, "attention.1.head_dim": DROP}, "attention.heads: 7 heads do not divide twice d_model 2048: set head_dim"),
    ("zamba2-1.2b", {"attention.1.kv_heads": 5}, "attention.kv_heads: 5 kv_heads do not divide 32 heads"),
    ("zamba2-1.2b", {"attention.1.attention_adapters": True, "attention.1.adapter_rank": DROP}, "attention.attention_adapters: an adapter needs its rank: set adapter_rank"),
    ("zamba2-1.2b", {"attention.1.mamba.groups": 7}, "attention.mamba.groups: 7 groups do not divide 64 heads: every group serves as many heads"),
    ("zamba2-1.2b", {"attention.1.mamba.on": {"first": 1}}, "attention.mamba.on: both stand in the same layers: say which outside of the two"),
    ("zamba2-1.2b", {"attention.0.kv_heads": 8}, 'unknown key "kv_heads": did you mean heads?'),
    # feed-forwards
    ("mixtral-8x7b", {"feed_forward.top_k": 99}, "feed_forward.top_k: a token cannot use 99 of 8 experts: set top_k to at most 8"),
    ("mixtral-8x7b", {"feed_forward.shared_bias": True}, "feed_forward.shared_d_ff: there is no shared expert to have a gate or a bias: set shared_d_ff, or drop shared_gated and shared_bias"),
    ("mixtral-8x7b", {"feed_forward.product_keys": 3}, "feed_forward.product_keys: 9 pairs of keys are more than the 8 experts: set fewer keys"),
    ("mixtral-8x7b", {"feed_forward.latent_norms": True}, "feed_forward.latent_norms: there is no width of their own to normalise at: set latent, or drop it"),
    ("mixtral-8x7b", {"feed_forward.router_width": 8, "feed_forward.router_bias": True}, "feed_forward.router_width: a network scores every expert without a last bias: drop product_keys and router_bias"),
    ("mixtral-8x7b", {"feed_forward.shared_gate": True}, "feed_forward.shared_gate: there is no shared expert to gate: set shared_d_ff, or drop it"),
    ("deepseek-v3", {"feed_forward.1.top_groups": DROP}, "feed_forward.groups: groups and top_groups are said together: set both, or none"),
    ("deepseek-v3", {"feed_forward.1.groups": 7}, "feed_forward.groups: 256 experts do not make 7 groups of as many each: set a divisor"),
    ("deepseek-v3", {"feed_forward.1.top_groups": 9}, "feed_forward.top_groups: a token cannot use 9 of 8 groups: set top_groups to at most 8"),
    ("deepseek-v3", {"feed_forward.1.groups": 128, "feed_forward.1.top_groups": 3}, "feed_forward.top_groups: 3 groups have fewer than the 8 experts of a token: set more"),
    # which layers
    ("gpt2", {"attention.on": {}}, "attention.on: one of first, after, every or layers says which layers, not 0 of them"),
    ("gpt2", {"attention.on": {"first": 1, "at": 3}}, "attention.on.at: the first of every n-th layers is below n, not 3"),
    ("gpt2", {"attention.on": {"layers": [1, 1]}}, "attention.on.layers: layers are each listed once, from 0 to 11"),
    ("gpt2", {"attention": [ATTENTION, ATTENTION]}, "attention: only one block may be without `on`: it takes the layers that no other claims"),
    ("gpt2", {"attention": [ATTENTION | {"on": {"first": 9}}, ATTENTION | {"on": {"after": 3}}]}, "attention: 18 layers are claimed of 12: let each layer have one block"),
    ("gpt2", {"attention": [ATTENTION | {"on": {"first": 2}}, ATTENTION | {"on": {"layers": [1, 5]}}, ATTENTION]}, "attention: layer 1 is claimed by two blocks: let each layer have one"),
    ("gpt2", {"attention.on": {"first": 3}}, "attention: only 3 of 12 layers have a block: leave `on` out of one of them"),
    ("albert-base", {"feed_forward": [EXPERTS | {"on": {"first": 1}}, {"d_ff": 64}]}, "feed_forward: several blocks are known in layers of their own weights only"),
    ("t5-small", {"feed_forward": [EXPERTS | {"on": {"first": 1}}, {"d_ff": 64}]}, "feed_forward: several blocks are known in both stacks only where `on` says every n-th: feed-forwards alone"),
    ("gpt2", {"unique_layers": 13}, "unique_layers: 13 layers of their own weights are more than 12"),
    # positions
    ("gpt2", {"context": DROP, "training": DROP}, "positions: a learned table needs its rows: set context or positions.rows"),
    ("gpt2", {"positions": {"kind": "alibi", "rows": 4}}, "positions.rows: alibi positions are no table that could be stored: drop it"),
    ("mamba-130m", {"positions": {"kind": "relative"}}, "positions: relative positions score by heads, and no layer has any: set positions to none"),
    ("deberta-v3-base", {"positions.terms": ["c2p", "c2p"]}, "positions.terms: each way of scoring distances is listed once, c2p or p2c"),
    ("deberta-v3-base", {"positions.conv_groups": 2}, "positions.conv_groups: there is no convolution to have groups: set conv, or drop it"),
    ("deberta-v3-base", {"positions.conv": 3, "positions.conv_groups": 7}, "positions.conv_groups: 7 groups do not divide d_model 768: set a divisor of it"),
    # stacks
    ("bert-base", {"attention": MAMBA}, "attention: a recurrence reads from left to right, an encoder does not: set kind to decoder"),
    ("t5-small", {"attention": MAMBA}, "attention: a recurrence cannot read an encoder: set kind to decoder"),
    ("t5-small", {"encoder.attention": MAMBA}, "encoder.attention: a recurrence reads from left to right, an encoder does not: drop it"),
    ("gpt2", {"encoder": {"layers": 2}}, "encoder: only an encoder-decoder has a second stack: drop it, or change the kind (decoder)"),
    ("whisper-tiny", {"encoder.frames": DROP}, "encoder.frames: a spectrogram has both mel_bins and frames: set the other one too, or drop it"),
    ("bert-base", {"layer_input": {"vocabulary": 9, "width": 8}}, "layer_input: an input for every layer is known in a decoder only: drop it"),
    ("t5-small", {"norm.skips_first": True}, "norm.skips_first: known before the sub-layers of a single stack only: drop it"),
    ("gpt2", {"norm.bias": True, "norm.gain": False}, "norm.bias: a norm without weights has no bias: drop it, or set norm.gain to true"),
    ("gpt2", {"embedding.shared": False}, "embedding.shared: there is one stack only to have a table: drop it"),
    ("gpt2", {"embedding.projects": "sum"}, "embedding.projects: nothing is projected without a width of its own: set embedding.width"),
    ("t5-small", {"embedding.width": 64}, "embedding.width: an embedding of a width of its own is known in a single stack only: drop it"),
    # heads
    ("gpt2", {"tied": DROP}, "head: a head is tied to the embedding or it is not: set tied to true or false"),
    ("gpt2", {"head.kind": "none"}, "tied: there is no head to tie: drop tied, or give the head a kind"),
    ("gpt2", {"head.kind": "none", "tied": DROP, "head.bias": True}, "head.bias: a head of kind none has no projection to the vocabulary: drop the bias"),
    ("gpt2", {"head.classes": 2}, "head.classes: a classifier stands on the pooler or alone: set head.pooler, or head.kind to none"),
    ("gpt2", {"head.per_token": True}, "head.classes: there is no classifier: set head.classes"),
    ("gpt2", {"head.words": 1000}, "head.words: only a projection with a table of its own has fewer words: set tied to false, or drop it"),
    ("gpt2", {"tied": False, "head.words": 100_000}, "head.words: 100,000 words are more than the vocabulary of 50,257: set fewer"),
    ("gpt2", {"head.width": 64}, "head.transform: a masked head alone has a transform and a width: drop them, or set kind to masked"),
    ("roberta-base", {"head.width": 64}, "head.width: a head of another width has a table and a transform of its own: set tied to false"),
    ("bert-base", {"head": {"kind": "language-model"}}, "head: an encoder has no language-model head: set head.kind to masked or none"),
    ("gpt2", {"head.kind": "discriminator", "tied": DROP}, "head.kind: a discriminator head stands on an encoder, not on a decoder"),
    ("t5-small", {"head.kind": "masked"}, "head.kind: a masked head stands on a single stack, not on an encoder-decoder"),
    ("bert-base", {"idle_cross_attention": True}, "idle_cross_attention: known in a decoder with attention of one kind (multi-head) only: drop it"),
    ("t5-small", {"mtp": 1}, "mtp: modules that predict further tokens are known in a decoder with a language-model head, one residual stream and layers of their own weights only: drop it"),
    ("nemotron-h-56b", {"mtp": 1}, "mtp: a module that predicts a further token has both attention and a feed-forward, and the last layer has only one: drop it"),
    # training
    ("gpt2", {"training": {"stages": [{"context": 9999, "source": "mine"}]}}, "training.stages.0.context: 9999 tokens are more than the model's context of 1024: raise context, or leave it out where there is no limit"),
    ("gpt2", {"training": {"tokens": 5, "source": "mine", "stages": [{"source": "mine"}]}}, "training: each stage says its own tokens and source, and their sum is the total: drop those next to stages"),
    ("gpt2", {"training": {"tokens": 5}}, "training: needs stages, or tokens with their source"),
    ("gpt2", {"training": {"stages": [{"up_to": True, "source": "mine"}]}}, "training.stages: a stage with up_to needs the longest of its lengths: set its context, or drop up_to"),
    # releases, and families that are assumed
    ("gpt2", {"weights": {"format": "fp5"}}, "weights.format: "),
    ("gpt2", {"weights": {"rules": [{"format": "fp8 ", "parts": ["attention"]}]}}, 'weights.rules.0.format: "fp8 " has blanks around it: write "fp8"'),
    ("gpt2", {"weights": {"rules": [{"format": "fp8", "parts": []}]}}, "weights.rules.0.parts: an empty list is about nothing: name parts, such as attention or head"),
    ("gpt2", {"weights": {"rules": [{"format": "fp8", "parts": ["head", "head"]}]}}, "weights.rules.0.parts: parts are each listed once"),
    ("gpt2", {"weights": {"rules": [{"format": "fp8", "parts": ["attention"], "layers": []}]}}, "weights.rules.0.layers: layers are each listed once; leave it out for all of them"),
    ("gpt2", {"releases": [RELEASE | {"dtype": "fp8-row"}]}, 'releases.0.dtype: a release is meant by a name that `tscale list formats` has, not "fp8-row"'),
    ("gpt2", {"releases": [RELEASE, RELEASE]}, "releases.1.dtype: fp8 means one release: there are two in it"),
    ("gpt2", {"releases": [RELEASE | {"weights": {"rules": [{"format": "fp8", "parts": ["attention"], "layers": [99]}]}}]}, "releases.0.weights.rules.0.layers: layers are counted from 0, here to 11, and 99 is past the last"),
    ("gpt2", {"weights": {"rules": [{"format": "fp8", "parts": ["attention"], "layers": [12]}]}}, "weights.rules.0.layers: layers are counted from 0, here to 11, and 12 is past the last"),
    ("albert-base", {"weights": {"rules": [{"format": "fp8", "parts": ["attention"], "layers": [1]}]}}, "weights.rules.0.layers: formats by layer are known in a single stack of layers with weights of their own: leave layers out"),
    ("gpt2", {"weights": {"unread": ["a\nb"]}}, 'weights.unread.0: must be one line of printable text, not "a b"'),
    ("gpt2", {"assumed": {"family": "gpt2", "defaults": [""]}}, 'assumed.defaults.0: must be one line of printable text, not ""'),
    ("bert-base", {"feed_forward.groups": 7}, "feed_forward.groups: groups must divide d_model 768 and d_ff 3072: drop it, or set another"),
    ("bert-base", {"attention.groups": 7}, "attention.groups: groups must divide d_model 768, without kv_heads and head_dim: drop it, or these"),
    ("bert-base", {"attention.groups": 4, "attention.gated": True}, "attention.groups: groups of channels are known without further projections: drop it, or gated"),
    ("bert-base", {"attention": {"kind": "bottleneck", "heads": 3, "width": 128, "d_ff": 512}}, "attention.heads: 3 heads do not divide width 128: set heads to a divisor of it"),
    ("gpt2", {"assumed": {"family": "lama"}}, 'assumed.family: "lama" is no known family: did you mean llama?'),
)  # fmt: skip


def changed(model: str, changes: dict[str, Any]) -> dict[str, Any]:
    """A built-in model as a file would say it, with some fields set or dropped; of a list, by place."""
    data: dict[str, Any] = copy.deepcopy(plain(built_in(model)))
    for path, value in changes.items():
        *above, last = path.split(".")
        inner: Any = data
        for part in above:
            inner = inner[int(part)] if isinstance(inner, list) else inner.setdefault(part, {})
        if value is DROP:
            inner.pop(last, None)
        else:
            inner[last] = value
    return data


def refusals(model: str, changes: dict[str, Any]) -> list[str]:
    """What validation refuses of a changed model."""
    try:
        validated(Document(changed(model, changes), "file", {}, {}))
    except SpecErrors as found:
        return [str(error).removeprefix("file:1:1: ") for error in found.errors]
    return []


@of_each(REFUSED)
def test_a_contradiction_is_refused(case: tuple[str, dict[str, Any], str]) -> None:
    model, changes, refused = case
    found = refusals(model, changes)
    assert refused in found or any(one.startswith(refused) and refused.endswith(": ") for one in found), found


def test_none_of_the_models_is_refused_unchanged() -> None:
    assert [model for model in {case[0] for case in REFUSED} if refusals(model, {})] == []


def written(path: Path) -> Iterator[str]:
    """The longest piece of plain text in each message that the functions of problems in a file yield."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef) and "Problem" in ast.unparse(function.returns or function):
            for one in ast.walk(function):
                texts = [one] if isinstance(one, ast.JoinedStr) else []
                if isinstance(one, ast.Tuple) and len(one.elts) == 2 and isinstance(one.elts[1], ast.Constant):
                    texts = [one.elts[1]]  # type: ignore[list-item]
                for text in texts:
                    parts = [part.value for part in ast.walk(text) if isinstance(part, ast.Constant)]
                    pieces = [part for part in parts if isinstance(part, str) and " " in part]
                    if pieces:
                        yield max(pieces, key=len)


def test_every_refusal_of_a_spec_has_a_case() -> None:
    source = Path(tscale.__file__).parent
    files = [
        source / "models" / "problems.py",
        source / "models" / "weights_spec.py",
        *(source / "blocks").glob("*.py"),
    ]
    told = [refused for _, _, refused in REFUSED]
    missing = [
        f"{path.name}: {piece}"
        for path in files
        for piece in written(path)
        if not any(piece in text for text in told) and piece not in ELSEWHERE
    ]
    assert missing == []


ELSEWHERE = {
    "a release in no format is none: name its format, or rules": "tests/bad/releases-of-no-format.yaml",
    " mixes types, tensor by tensor: ": "tests/bad/weights-format-mixture.yaml",
    " asks for it; name a type, such as q4_k": "tests/bad/weights-format-mixture.yaml",
    "formats by layer are known up to ": "tests/bad/weights-rule-by-layer-too-deep.yaml",
    "must be one line of printable text, not ": "tests/bad/name-of-two-lines.yaml",
    " is no known family: ": "the case of an assumed family",
    "comes out as ": "what an importer makes of a config.json, in tests/importer",
    ", and must be from ": "what an importer makes of a config.json, in tests/importer",
    "an adapter yields twice d_model, ": "tests/bad/adapters-too-wide.yaml",
    ", and is added to queries, keys and values: let them be as wide": "tests/bad/adapters-too-wide.yaml",
}
"""Refusals that have a case in another file."""


def test_a_norm_of_queries_and_keys_may_have_a_bias() -> None:
    """GPT-2: 12 layers of two norms, each with a gain and a bias for the 64 channels of a head."""
    plain, normed = (
        tscale.params(tscale.lower(tscale.load("gpt2", changes))).total
        for changes in ([], ["attention.qk_norm=head", "attention.qk_norm_bias=true"])
    )
    assert normed - plain == 12 * 2 * (64 + 64)


@pytest.mark.parametrize("text", ["a\u2028b", "\u2029", "it's\u2028: 1", "two\nlines"])
def test_a_text_is_written_so_that_it_is_read(text: str) -> None:
    """Separators of lines and paragraphs end a line in YAML, as a line feed does."""
    assert parse_document(yaml_of({"note": text}), "x.yaml").data == {"note": text}
