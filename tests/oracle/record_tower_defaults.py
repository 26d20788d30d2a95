"""Writes what transformers takes for the sizes of towers that a `config.json` leaves out.

    python tests/oracle/record_tower_defaults.py > src/tscale/importer/towers/defaults.json

`transformers` 5.24.0 and `torch` must be installed. For each family: its own keys, and for each configuration inside it the type
that it is of where it names none, and what it holds where it is absent. For each of those types: its keys and their other names.
"""

# mypy: ignore-errors
# transformers is installed only where this is run
from __future__ import annotations

import json

import transformers
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from tscale.importer.towers import FAMILIES

BASE = set(PreTrainedConfig().to_dict()) | {"initializer_range", "initializer_factor", "transformers_version"}
ALONE = ("clip_vision_model", "siglip_vision_model", "siglip2_vision_model", "pixtral",
         "vit", "dinov2", "dinov3_vit", "wav2vec2", "hubert", "deit", "dinov2_with_registers",
         "vit_msn", "ijepa", "whisper")  # fmt: skip
"""Types that families put into classes which build whatever a file names, and towers that are models by themselves."""
TEXT = {"text_config", "talker_config", "code2wav_config"}


def plain(config: PreTrainedConfig) -> dict[str, object]:
    """The keys that may decide a count."""
    inside = set(config.sub_configs or {})
    data = config.to_dict()
    return {
        key: value
        for key, value in data.items()
        if key not in BASE and key not in inside and not key.startswith("_") and key != "rope_parameters"
    }


def line(key: str, value: object) -> str:
    return f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}"


def main() -> None:
    families, types = {}, {}

    def note(config: PreTrainedConfig) -> None:
        cls = type(config)
        types[config.model_type] = {"keys": plain(cls()), "aliases": dict(cls.attribute_map or {})}

    for family in FAMILIES:
        cls = CONFIG_MAPPING[family]
        usual = cls()
        own = {"own": plain(usual), "aliases": dict(cls.attribute_map or {})}
        for name in cls.sub_configs or {}:
            if name in TEXT:
                continue
            absent = getattr(usual, name, None)
            try:
                given = getattr(cls(**{name: {}}), name)
            except Exception:  # noqa: BLE001 (whatever a class cannot be made of)
                given = absent
            if given is None or isinstance(given, dict):
                continue
            note(given)
            if absent is not None:
                note(absent)
            own[name] = {
                "type": given.model_type,
                "any": cls.sub_configs[name] is AutoConfig,
                "absent": None if absent is None else {"model_type": absent.model_type} | plain(absent),
            }
        families[family] = own
    for model_type in ALONE:
        note(CONFIG_MAPPING[model_type]())
    print("{")
    print(line("transformers", transformers.__version__) + ",")
    print('"families": {')
    print(",\n".join(line(*item) for item in sorted(families.items())))
    print('},\n"types": {')
    print(",\n".join(line(*item) for item in sorted(types.items())))
    print("}}")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()
