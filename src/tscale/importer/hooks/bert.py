"""Encoders like BERT with a twist each."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Computed, Positions
from tscale.errors import shown
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import AttentionMask
from tscale.importer.rules.positions import table
from tscale.models.spec import Embedding, Head


def rembert_head(config: Config, head: Head) -> Head:
    """As wide on the way out as the file says."""
    return Head(kind="masked", bias=True, width=config.size("output_embedding_size")) if head.kind == "masked" else head


def ernie_embedding(config: Config) -> Embedding:
    """Segments, and tasks where there are any."""
    tasks = config.size("task_type_vocab_size") if config.flag("use_task_id") else 0
    return Embedding(segments=config.size("type_vocab_size") + tasks)


def esm_positions(config: Config) -> Positions:
    """A table, or rotation."""
    kind = config.text("position_embedding_type")
    if kind not in ("absolute", "rotary"):
        raise config.wrong(f"position_embedding_type: {shown(kind)} is not known: only absolute and rotary are")
    return Computed(kind="rotary") if kind == "rotary" else table(config)


def longformer_window(config: Config) -> AttentionMask:
    """One window for all layers, half of it on either side."""
    said = config.value("attention_window")
    first = said[0] if isinstance(said, list) and said else said
    alike = said == first or (isinstance(said, list) and all(length == first for length in said))
    if not isinstance(first, int) or not alike or first <= 0 or first % 2:
        raise config.wrong(
            "attention_window must be one even length above 0: windows that differ by layer are not known yet"
        )
    return AttentionMask(first)


def big_bird_notes(config: Config) -> tuple[str, ...]:
    """What full attention means for keys that are picked in blocks."""
    kind = config.text("attention_type")
    if kind not in ("block_sparse", "original_full"):
        raise config.wrong(f"attention_type: {shown(kind)} is not known: block_sparse or original_full")
    if kind == "original_full":
        return ()
    seen = (config.whole("num_random_blocks") + 5) * config.size("block_size")
    return (f"Each query sees {seen:,} keys, in blocks (block_sparse): full attention counts all of them.",)


def siglip_head(config: Config, head: Head) -> Head:
    """The layer on the last token, which is known where it keeps the width."""
    config.agreed("projection_size", config.size("hidden_size"), "hidden_size")
    return head


def clip_head(config: Config, head: Head) -> Head:
    """The projection to what images are compared with, which one of the two classes has."""
    return head if head.classes is None else replace(head, classes=config.size("projection_dim"))


def layoutlm_head(config: Config, head: Head) -> Head:
    """As many classes of words as the file has labels."""
    return replace(head, classes=config.labels()) if head.per_token else head


def tapas_embedding(config: Config) -> Embedding:
    """Seven tables or more of where a word stands in a table (TAPAS)."""
    rows = config.value("type_vocab_sizes")
    if not isinstance(rows, list) or not rows or not all(type(size) is int and 0 < size < 10**9 for size in rows):
        raise config.wrong("type_vocab_sizes must be a list of whole numbers above 0")
    return Embedding(segments=sum(rows))


def layoutlm_embedding(config: Config) -> Embedding:
    """Tables of segments, and of where on a page a word begins, how wide and how high it is."""
    return Embedding(segments=config.size("type_vocab_size") + 4 * config.size("max_2d_position_embeddings"))


def xlm_embedding(config: Config) -> Embedding:
    """A table of languages, where there are several."""
    several = config.size("n_langs") > 1 and config.flag("use_lang_emb")
    return Embedding(segments=config.size("n_langs") if several else None)


def labels_of_file(config: Config, head: Head) -> Head:
    """As many labels as the file says; as many as the class has names for where it is silent."""
    said = config.says("id2label") is not None or config.says("num_labels") is not None
    return replace(head, classes=config.labels()) if said and head.classes is not None else head
