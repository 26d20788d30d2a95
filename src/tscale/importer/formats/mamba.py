"""The config.json of mamba_ssm: Mamba 1 and 2 as their authors save them.

Source: https://github.com/state-spaces/mamba, models/config_mamba.py, models/mixer_seq_simple.py, modules/{mamba_simple,mamba2}.py.
"""

from __future__ import annotations

from typing import Any, Final

from tscale.importer.config_keys import Config
from tscale.importer.formats.format import Format, keys

_MAMBA1: Final[dict[str, Any]] = {
    "d_state": 16,
    "d_conv": 4,
    "expand": 2,
    "dt_rank": "auto",
    "conv_bias": True,
    "bias": False,
}
_MAMBA2: Final[dict[str, Any]] = {
    "d_state": 128, "d_conv": 4, "expand": 2, "headdim": 64, "ngroups": 1, "chunk_size": 256, "conv_bias": True,
    "bias": False,
}  # fmt: skip
_INITIAL: Final = (
    "dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor", "A_init_range", "dt_limit", "use_mem_eff_path",
    "use_fast_path",
)  # fmt: skip


def padded(config: Config) -> int:
    """The rows of the embedding: up to a multiple."""
    words, multiple = config.size("vocab_size"), config.size("pad_vocab_size_multiple")
    return multiple * -(-words // multiple)


def _mamba(config: Config) -> dict[str, object]:
    said = config.value("ssm_cfg") or {}
    if not isinstance(said, dict):
        raise config.wrong("ssm_cfg must be a mapping")
    layer = said.get("layer", "Mamba1")
    sizes = {"Mamba1": _MAMBA1, "Mamba2": _MAMBA2}.get(layer) if isinstance(layer, str) else None
    if sizes is None:
        raise config.wrong("ssm_cfg.layer must be Mamba1 or Mamba2: others are not known yet")
    other = [key for key in said if key not in {"layer", *sizes, *_INITIAL}]
    if other:
        raise config.wrong(f"ssm_cfg.{other[0]} is not known yet: only {', '.join(sizes)} are")
    ssm = sizes | {key: value for key, value in said.items() if key in sizes}
    common: dict[str, object] = {
        "model_type": layer.lower().removesuffix("1"),
        "hidden_size": config.size("d_model"),
        "num_hidden_layers": config.size("n_layer"),
        "vocab_size": padded(config),
        "tie_word_embeddings": config.flag("tie_embeddings"),
        "state_size": ssm["d_state"],
        "conv_kernel": ssm["d_conv"],
        "expand": ssm["expand"],
        "use_bias": ssm["bias"],
        "use_conv_bias": ssm["conv_bias"],
    }
    if layer == "Mamba1":
        return common | {"time_step_rank": ssm["dt_rank"]}
    return common | _heads(config, ssm)


def _heads(config: Config, ssm: dict[str, Any]) -> dict[str, object]:
    """The heads of a Mamba-2: as many of their width as fill what it expands to."""
    width, expand = ssm["headdim"], ssm["expand"]
    if not all(type(size) is int and size > 0 for size in (width, expand)):
        raise config.wrong("ssm_cfg.headdim and ssm_cfg.expand must be whole numbers above 0")
    heads = expand * config.size("d_model") // width
    return {"head_dim": width, "num_heads": heads, "n_groups": ssm["ngroups"], "chunk_size": ssm["chunk_size"]}


MAMBA: Final = Format(
    title="mamba_ssm's config.json",
    told_by=frozenset({"d_model", "n_layer", "vocab_size", "rms_norm", "fused_add_norm"}),
    row=keys(
        {"d_model": 2560, "n_layer": 64, "vocab_size": 50277, "ssm_cfg": None, "pad_vocab_size_multiple": 8,
         "tie_embeddings": True},
        harmless="residual_in_fp32 fused_add_norm", rms_norm=True, d_intermediate=0, attn_layer_idx=[], attn_cfg={},
    ),
    translated=_mamba,
)  # fmt: skip
