"""OPT."""

from __future__ import annotations

from tscale.blocks import Norm
from tscale.importer.config_keys import Config


def norm(config: Config) -> Norm:
    """Post-norm, as in OPT-350m, has no final norm; an early release of pre-norm had none either."""
    weights = config.flag("layer_norm_elementwise_affine")
    before = config.flag("do_layer_norm_before")
    return Norm(
        kind="layernorm",
        place="pre" if before else "post",
        final=False if before and config.flag("_remove_final_layer_norm") else None,
        bias=None if weights else False,
        gain=weights,
    )
