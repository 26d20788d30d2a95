"""What is said of a model beside its figures."""

from __future__ import annotations

from tscale.importer.config_keys import Config
from tscale.importer.rules import Key


def prediction_layers(config: Config, *, key: Key = "num_nextn_predict_layers", alike: bool = True) -> tuple[str, ...]:
    """That the file names layers that predict further tokens, where it does: transformers builds them in no model.

    `alike`: whether each is built as the last layer is, and with the model's own head, so that `mtp` counts it.
    """
    if config.value(key) is None or not config.whole(key):
        return ()
    own_code = config.family.group == "repository"  # which may build them
    leaves = "" if own_code else ", as the class does"
    counted = alike and not config.family.streams
    counts = f"; --set mtp={config.whole(key)} counts them as further last layers" if counted else ""
    return (f"Left out: the layers that predict further tokens ({key}){leaves}{counts}.",)


def remark(config: Config, *, text: str) -> tuple[str, ...]:
    """The same for every file."""
    del config
    return (text,)
