"""From the header of a GGUF file to the `config.json` of the model that it was converted from.

A header names an architecture of llama.cpp's and its sizes; what it does not say (biases, norms on queries and keys, a head
of its own) is told by which tensors there are. Whoever reads it holds the outcome to the tensors.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; names of tensors: gguf-py/gguf/constants.py of llama.cpp.
"""

from __future__ import annotations

from typing import Final

from tscale.checkpoint.gguf import Header
from tscale.errors import SpecError, nearest, shown
from tscale.importer.families import FAMILIES
from tscale.importer.family import Family, Routed

ARCHITECTURES: Final = {
    "llama": "llama", "qwen2": "qwen2", "qwen2moe": "qwen2_moe", "qwen3": "qwen3", "qwen3moe": "qwen3_moe",
    "gemma": "gemma", "gemma2": "gemma2", "gemma3": "gemma3_text", "phi2": "phi", "phi3": "phi3", "gpt2": "gpt2",
    "gptneox": "gpt_neox", "falcon": "falcon", "starcoder2": "starcoder2", "stablelm": "stablelm",
    "command-r": "cohere", "cohere2": "cohere2", "olmo": "olmo", "olmo2": "olmo2", "olmoe": "olmoe",
    "granite": "granite", "granitemoe": "granitemoe", "nemotron": "nemotron", "smollm3": "smollm3", "glm4": "glm4",
    "exaone4": "exaone4", "ernie4_5": "ernie4_5", "seed_oss": "seed_oss", "hunyuan-dense": "hunyuan_v1_dense",
    "arcee": "arcee", "bloom": "bloom", "gpt-oss": "gpt_oss", "deepseek2": "deepseek_v3", "mamba": "mamba",
    "mamba2": "mamba2", "bert": "bert",
}  # fmt: skip
"""The family of transformers that an architecture of llama.cpp's is converted from."""

_TABLE: Final = "token_embd.weight"
_FLAGS: Final = {
    "attention_bias": ("attn_q.bias", "attn_qkv.bias"),
    "use_bias": ("attn_q.bias", "attn_qkv.bias", "ssm_in.bias"),
    "use_qkv_bias": ("attn_q.bias",),
    "qkv_bias": ("attn_q.bias",),
    "attention_out_bias": ("attn_output.bias",),
    "mlp_bias": ("ffn_up.bias",),
    "use_qk_norm": ("attn_q_norm.weight",),
    "qk_layernorm": ("attn_q_norm.weight",),
}
"""Keys that say whether something is there, and the tensors of a layer any of which is there with it."""


def config_of(header: Header, where: str) -> dict[str, object]:
    """The `config.json` that says what a header does. Raises `SpecError` for an architecture that is not known."""
    return _Header(header, where).config()


class _Header:
    """The keys of a header by their names without the architecture, and the names of its tensors."""

    def __init__(self, header: Header, where: str) -> None:
        self.values, self.where = header.values, where
        self.shapes = {tensor.name: tensor.shape for tensor in header.tensors}
        self.in_layers = {name.split(".", 2)[-1] for name in self.shapes if name.startswith("blk.")}
        said = self.values.get("general.architecture")
        self.architecture = said if isinstance(said, str) else ""
        if self.architecture not in ARCHITECTURES:
            hint = nearest(self.architecture, ARCHITECTURES)
            raise SpecError(f"general.architecture {shown(said)} is not known yet: {hint}", where=where)

    def config(self) -> dict[str, object]:
        """All that the header says, under the names of the family."""
        name = self._family()
        family = FAMILIES[name]
        config = {"model_type": name} | self._sizes(family) | self._heads(family) | self._experts(family)
        config |= {key: self._has(*tensors) for key, tensors in _FLAGS.items() if key in family.reads}
        if "tie_word_embeddings" in family.reads:
            config["tie_word_embeddings"] = "output.weight" not in self.shapes
        return config | self._latent(family) | self._windows(family) | self._of_architecture()

    def _family(self) -> str:
        """That of the architecture; some have others with experts, or without biases to choose them by."""
        if self.architecture == "llama" and self.size("expert_count"):
            return "mixtral"
        if self.architecture == "deepseek2" and not self._has("exp_probs_b.bias"):
            return "deepseek_v2"
        return ARCHITECTURES[self.architecture]

    def _sizes(self, family: Family) -> dict[str, object]:
        keys = family.keys
        if not self.shapes.get(_TABLE):
            raise SpecError(f"no tensor {_TABLE}: its vocabulary cannot be told", where=self.where)
        found: dict[str | None, object] = {
            keys.vocabulary: self.shapes[_TABLE][0],
            keys.d_model: self.needed("embedding_length"),
            keys.layers: self.needed("block_count"),
            keys.heads: self.size("attention.head_count"),
            keys.d_ff: self._width("ffn_down.weight") or self.size("feed_forward_length"),
            keys.context: self.size("context_length"),
        }
        return {
            key: value for key, value in found.items() if key is not None and value is not None and key in family.reads
        }

    def _heads(self, family: Family) -> dict[str, object]:
        many = self.size("attention.head_count_kv")
        found: dict[str, object] = {
            "num_key_value_heads": many,
            "num_kv_heads": many,
            "head_dim": self.size("attention.key_length"),
        }
        return {key: value for key, value in found.items() if value is not None and key in family.reads}

    def _experts(self, family: Family) -> dict[str, object]:
        row = family.experts
        if not isinstance(row, Routed):
            return {}
        width = self._width("ffn_down_exps.weight") or self.size("expert_feed_forward_length")
        found: dict[str | None, object] = {
            row.experts: self.needed("expert_count"),
            row.top_k: self.needed("expert_used_count"),
            row.d_ff: width,
            row.shared: self.size("expert_shared_count"),
            row.shared_d_ff: self.size("expert_shared_feed_forward_length"),
            "first_k_dense_replace": self.size("leading_dense_block_count"),
        }
        return {
            key: value for key, value in found.items() if key is not None and key in family.reads and value is not None
        }

    def _latent(self, family: Family) -> dict[str, object]:
        """The ranks and widths of latent attention; before 2025 the widths of heads stood under the usual keys."""
        if "kv_lora_rank" not in family.reads:
            return {}
        rope = self.needed("rope.dimension_count")
        key = self.size("attention.key_length_mla") or self.needed("attention.key_length")
        found: dict[str, object] = {
            "q_lora_rank": self.size("attention.q_lora_rank"),
            "kv_lora_rank": self.needed("attention.kv_lora_rank"),
            "qk_rope_head_dim": rope,
            "qk_nope_head_dim": key - rope,
            "v_head_dim": self.size("attention.value_length_mla") or self.needed("attention.value_length"),
            "num_key_value_heads": None,
            "head_dim": None,
            "num_nextn_predict_layers": 0,
        }
        return {key: value for key, value in found.items() if key in family.reads}

    def _windows(self, family: Family) -> dict[str, object]:
        if "sliding_window" not in family.reads:
            return {}
        window, pattern = (
            self.size("attention.sliding_window"),
            self.values.get(self._key("attention.sliding_window_pattern")),
        )
        found: dict[str, object] = {"sliding_window": window}
        if isinstance(pattern, list) and "layer_types" in family.reads:
            found["layer_types"] = ["sliding_attention" if local else "full_attention" for local in pattern]
        elif window is None and "layer_types" in family.reads:
            found["layer_types"] = ["full_attention"] * self.needed("block_count")
        return found

    def _of_architecture(self) -> dict[str, object]:
        """What single architectures say under keys, or by tensors, of their own."""
        match self.architecture:
            case "bert":
                return {"architectures": ["BertModel"], "type_vocab_size": self.rows("token_types.weight")}
            case "falcon":
                new = self._has("attn_norm_2.weight")
                return {"new_decoder_architecture": new, "multi_query": self.size("attention.head_count_kv") == 1}
            case "gptneox" | "stablelm":
                return {"use_parallel_residual": self.values.get(self._key("use_parallel_residual"), True)}
            case "mamba" | "mamba2":
                return self._ssm()
        return {}

    def _ssm(self) -> dict[str, object]:
        inner, width = self.needed("ssm.inner_size"), self.needed("embedding_length")
        steps = self.needed("ssm.time_step_rank")
        common: dict[str, object] = {
            "state_size": self.needed("ssm.state_size"),
            "conv_kernel": self.needed("ssm.conv_kernel"),
            "expand": inner // width,
            "use_conv_bias": self._has("ssm_conv1d.bias"),
        }
        if self.architecture == "mamba":
            return common | {"time_step_rank": steps}
        return common | {"num_heads": steps, "head_dim": inner // steps, "n_groups": self.size("ssm.group_count") or 1}

    # ---- what the above is made of ----

    def _key(self, name: str) -> str:
        return f"{self.architecture}.{name}"

    def _has(self, *tensors: str) -> bool:
        """Whether layers have any of some tensors."""
        return any(tensor in self.in_layers for tensor in tensors)

    def _width(self, tensor: str) -> int | None:
        """What a matrix of layers multiplies, the same in all of them; None where no layer has it: the keys may say another thing."""
        widths = {
            shape[-1]
            for name, shape in self.shapes.items()
            if shape and name.startswith("blk.") and name.endswith(f".{tensor}")
        }
        return widths.pop() if len(widths) == 1 else None

    def rows(self, tensor: str) -> int | None:
        """How many rows a table has; None of one that is not there."""
        shape = self.shapes.get(tensor)
        return shape[0] if shape else None

    def size(self, name: str) -> int | None:
        """A whole number above 0 under a key; None where it is not there, or 0. A list of one number for each layer is that number."""
        value = self.values.get(self._key(name))
        if isinstance(value, list):
            if len(set(value)) != 1:
                raise SpecError(f"{self._key(name)} differs by layer, which is not known yet", where=self.where)
            value = value[0]
        if value is None or value == 0:
            return None
        if type(value) is not int or value < 0:
            raise SpecError(f"{self._key(name)} must be a whole number, not {shown(value)}", where=self.where)
        return value

    def needed(self, name: str) -> int:
        """A whole number above 0 that must be there."""
        value = self.size(name)
        if value is None:
            raise SpecError(
                f'no "{self._key(name)}": the header does not tell the model\'s shape without it', where=self.where
            )
        return value
