"""Families that read more than text: rows of `configs/families/` that say where the text model stands in their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from tscale.blocks.spec_dataclass import CONFIG

Medium = Literal["images", "sounds"]

_LEFT_OUT: Final[Mapping[Medium | None, str]] = {
    None: "Left out: the vision tower and its projection (vision_config): the text model alone is counted.",
    "images": "Left out: the vision tower and its projection (vision_config): the text model alone is counted.",
    "sounds": "Left out: the audio tower and its projection (audio_config): the text model alone is counted.",
}
_OWN: Final[Mapping[Medium | None, str]] = {
    None: "",
    "images": """
        text_config vision_config tie_word_embeddings image_token_index boi_token_index eoi_token_index
        video_token_index projector_hidden_act projector_hidden_size projector_bias multimodal_projector_bias
        vision_feature_layer vision_feature_select_strategy spatial_merge_size image_seq_length video_seq_length
        image_grid_pinpoints downsample_factor downsample_ratio ignore_index
    """,
    "sounds": "text_config audio_config tie_word_embeddings audio_token_index projector_hidden_act",
}
"""Keys that say how images or sounds are read, and change nothing in the text model."""
ANY_TEXT: Final = (
    "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "phi", "phi3", "granite", "mixtral", "opt", "cohere",
    "cohere2", "olmo", "olmo2", "smollm3", "stablelm", "gpt_neox", "qwen3_moe", "gpt_oss", "ministral3",
)  # fmt: skip
"""Text models that files put into classes which build whatever `text_config` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """A family that reads more than text: the text model stands in `text_config`, and that alone is read."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    name: str
    """What files say as `model_type`."""
    also: tuple[str, ...] = ()
    """Names that the release of transformers reads as this one."""
    source: str = ""
    """Where the row was read."""
    classes: tuple[str, ...]
    """The classes that `architectures` may name."""
    text: tuple[str, ...]
    """The families that `text_config` may be of; the first where it names none."""
    any_text: bool = False
    """Whether it may be of any other family that such classes are put around, too."""
    tied: bool
    """Whether the head is tied where the file is silent."""
    unsaid: bool = False
    """Whether releases differ about that, so that it is said."""
    named: Mapping[str, str] = field(default_factory=dict)
    """Other names that files give to one of those families."""
    reads: Medium | None = None
    """What it reads besides text, of which all such files have some keys in common."""
    own: tuple[str, ...] = ()
    """Keys of the file other than those of the text model and those that all such files have."""
    inside: tuple[str, ...] = ()
    """Keys of the text model that say how it meets what is left out."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """What the class takes for keys that the text model lacks, where its own family takes other values."""
    mirrors: Mapping[str, str] = field(default_factory=dict)
    """Keys of the text model that the class takes from another configuration, whatever the text model's says: `vision_config.hidden_size`."""
    flat: bool = False
    """Whether older files have the keys of the text model among the others, and no `text_config`."""
    unread_flat: bool = False
    """Whether its class builds a text model of its own sizes where there is no `text_config`, whatever else the file holds."""
    ties: Literal["whole", "text", "either", "first"] = "whole"
    """Whose `tie_word_embeddings` its class reads: the whole's, the text model's, both (either of them ties it), or the text model's
    where the whole's is absent. `tests/oracle/nested.jsonl` and `ties.jsonl` hold what the classes build."""
    retied: bool | Literal["both"] = True
    """Whether the file decides if the head is tied; `both` where the text model's value decides whether its own tables are one, and
    both must say the same."""
    left_out: str | None = None
    """What is said where what it reads besides text is not counted, if that is not the usual."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The families that `text_config` may be of, the usual one first."""
        more = ANY_TEXT if self.any_text else ()
        return (*self.text, *(name for name in more if name not in self.text))

    @property
    def beside(self) -> frozenset[str]:
        """All keys of the file beside those of the text model that change nothing in it."""
        return frozenset((*_OWN[self.reads].split(), *self.own))

    @property
    def said(self) -> str:
        """What is said where what it reads beside text is not counted."""
        return _LEFT_OUT[self.reads] if self.left_out is None else self.left_out
