"""Streams that predict further tokens: a decoder runs one of its own for each of them next to that of the text (ProphetNet)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from tscale.blocks.fields import LayerContext, Size
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cut, Entry, Lookup, Matmul, Part, Scores, Subset


@spec_dataclass
class PredictingStreams:
    """The text's stream, and n more that each predict the token at a distance of their own (Qi 2020).

    All n + 1 go through the same matrices side by side. A query of the text's sees the text; one of the s-th of the others, counted
    from 0, sees the text but for its s last tokens, its first token always, and its own position in its own stream. The head reads the
    n streams, and not the text's. The caches are of the text alone, and a step of decoding lets every stream see all of it
    (transformers 5.24.0).
    """

    kind: Literal["predicting"]
    count: Size
    """Streams, the text's among them."""
    buckets: Size
    """Buckets of distances, of which each layer's matrix makes a bias for each head of every position."""

    def run_by(self, site: LayerContext, found: Iterable[Entry | Subset]) -> Iterator[Entry | Subset]:
        """The entries of a sub-layer of the decoder with all streams run through them."""
        for entry in found:
            if isinstance(entry, Subset):
                yield entry._replace(items=tuple(one for item in entry.items for one in self._run(site, item)))  # type: ignore[arg-type]
            else:
                yield from self._run(site, entry)

    def _run(self, site: LayerContext, entry: Entry) -> Iterator[Entry]:
        match entry:
            case Matmul() if entry.stream == site.stream:
                yield _side_by_side(entry, self.count)
            case Scores():
                yield entry
                yield from self._scored(site, entry)
            case _:
                yield entry

    def _scored(self, site: LayerContext, text: Scores) -> Iterator[Entry]:
        """What the further streams' queries see, read together with what the text's see; and the bias of distances."""
        others = self.count - 1
        further = text._replace(name=f"{text.name}.further", cache=None)
        if text.keys != site.stream:
            yield further._replace(used=others)
            return
        for behind in range(others):
            yield further._replace(name=f"{further.name}_{behind + 1}", behind=behind)
        yield further._replace(name=f"{text.name}.own", window=1, used=others)
        name, cut = f"{text.name}.distances", Cut(text.heads)
        biases = Matmul(
            name, "position_key", "attention", site.stream, site.d_model, self.buckets * text.heads, True, cut
        )
        yield _side_by_side(biases, self.count)

    def read(self, head: Matmul) -> Matmul:
        """The projection to the vocabulary as the further streams are multiplied by it."""
        return _side_by_side(head, self.count - 1)

    def lower(self, site: LayerContext, sub_layer: str, part: Part) -> Iterator[Entry | Subset]:
        """Nothing for a sub-layer beside what is run through it."""
        yield from ()

    def lower_layer(self, site: LayerContext) -> Iterator[Entry | Subset]:
        """A vector that each of the further streams begins with, before the first layer."""
        begin = Lookup(f"{site.name}streams.begin", "streams", "embedding", self.count - 1, site.d_model)
        yield Subset((begin,), once=True)

    def lower_end(self, site: LayerContext) -> Iterator[Entry]:
        """Nothing: the streams stay apart."""
        yield from ()


def _side_by_side(entry: Matmul, streams: int) -> Matmul:
    """A matrix that so many streams are multiplied by, in one product."""
    return entry._replace(used=streams * entry.used, abreast=streams)
