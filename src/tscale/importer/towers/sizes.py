"""The sizes of a tower as a file gives them, with what the release's classes take for those that it leaves out.

`defaults.json` holds these; `tests/oracle/record_tower_defaults.py` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, NoReturn, cast

from tscale.blocks.fields import MOST_SIZE
from tscale.errors import SpecError, shown
from tscale.importer.harmless import is_harmless


@cache
def recorded() -> dict[str, dict[str, Any]]:
    """Families and types of towers with their keys, as recorded from the release."""
    return dict(json.loads((files("tscale.importer.towers") / "defaults.json").read_text(encoding="utf-8")))


_WORDS = frozenset({"model_type", "vocab_size", "projection_dim", "projection_hidden_size", "projection_bias"})
"""Keys that files of towers repeat from the text model that these were trained with, or that what stands behind the tower reads."""
_NAMED: Final = {"parakeet": "parakeet_encoder"}
"""Other names of types of towers in published files."""


_HANDED: Final = dict.fromkeys(("minicpmv4_6", "minicpmv4_7", "minicpm_ocr"), ("insert_layer_id",))
"""Keys of a whole that its class hands to the configuration of its vision tower, whatever that says."""


class Sizes:
    """The keys of one configuration inside a file, typed, with the class's defaults for those that it leaves out."""

    def __init__(self, data: Mapping[str, object], defaults: Mapping[str, object], where: str, path: str) -> None:
        self._data, self._defaults, self._where = data, defaults, where
        self._path = f"{path}." if path else ""
        self.kind = str(data.get("model_type"))
        """The type of the tower."""

    def value(self, key: str) -> object:
        """What stands at a key, or what the class takes in its place."""
        value = self._data.get(key)
        return self._defaults.get(key) if value is None else value

    def says(self, key: str) -> bool:
        """Whether the file itself has a key."""
        return self._data.get(key) is not None

    def size(self, key: str) -> int:
        """A whole number above 0."""
        value = self.value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MOST_SIZE:
            self.mistyped(key, "a whole number from 1 to 10^12", value)
        return value

    def whole(self, key: str) -> int:
        """A whole number, 0 allowed."""
        return 0 if self.value(key) == 0 else self.size(key)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.value(key)
        return value if isinstance(value, bool) else self.mistyped(key, "true or false", value)

    def real(self, key: str) -> float:
        """A number above 0."""
        value = self.value(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= MOST_SIZE:
            self.mistyped(key, "a number above 0", value)
        return value

    def sizes(self, key: str) -> list[int]:
        """A list of whole numbers from 0."""
        value = self.value(key)
        if not isinstance(value, list) or not all(type(item) is int and 0 <= item <= MOST_SIZE for item in value):
            self.mistyped(key, "a list of whole numbers", value)
        return cast("list[int]", value)

    def sides(self, key: str) -> tuple[int, int]:
        """Height and width: one number for both, or a list of the two."""
        value = self.value(key)
        if isinstance(value, list) and len(value) == 2:
            height, width = self.sizes(key)
            return (height, width) if height and width else self.mistyped(key, "whole numbers from 1 to 10^12", value)
        return self.size(key), self.size(key)

    def grid(self, image: str = "image_size", patch: str = "patch_size") -> int:
        """Patches of an image of the size that the tower was made for."""
        (height, width), (high, wide) = self.sides(image), self.sides(patch)
        if height < high or width < wide:
            raise SpecError(f"{self._path}{image} is smaller than {patch}", where=self._where)
        return (height // high) * (width // wide)

    def pixels(self, channels: str = "num_channels", patch: str = "patch_size") -> int:
        """Numbers in a patch."""
        high, wide = self.sides(patch)
        return high * wide * self.size(channels)

    def unread(self) -> list[str]:
        """The keys that the tower's class does not have and that say something, with their path."""
        return [
            f"{self._path}{key}"
            for key, value in self._data.items()
            if value and key not in self._defaults and key not in _WORDS and not is_harmless(key)
        ]

    def mistyped(self, key: str, wanted: str, value: object) -> NoReturn:
        """Raises `SpecError` for a value of another kind."""
        raise SpecError(f"{self._path}{key} must be {wanted}, not {shown(value)}", where=self._where)

    def wrong(self, key: str, message: str) -> SpecError:
        """An error at a key."""
        return SpecError(f"{self._path}{key}: {message}", where=self._where)


class File:
    """A file of a whole model: its own keys, and the configurations of its towers."""

    def __init__(self, config: Mapping[str, object], family: str, where: str, text_size: Callable[[str], int]) -> None:
        self.family, self.where, self._config = family, where, config
        self.text_size = text_size
        """A size of the text model, by its key."""
        self._known = recorded()["families"][family]
        self.own = Sizes(_renamed(config, self._known["aliases"]), self._known["own"], where, "config.json")
        """The keys of the whole."""
        self._read: list[Sizes] = []
        self.absent: list[str] = []
        """The configurations that the file does not hold, for which the class has one of its own."""

    def text_says(self, key: str) -> object:
        """What the file says of its text model at a key; None where it says nothing."""
        text = self._config.get("text_config")
        return text.get(key) if isinstance(text, dict) else None

    def inside(self, name: str) -> Sizes | None:
        """The configuration of a tower; None where the whole has none."""
        known, data = self._known[name], self._config.get(name)
        if data is None:
            data = known["absent"]
        if data is None:
            return None
        if self._config.get(name) is None:
            self.absent.append(name)
        if not isinstance(data, dict):
            raise SpecError(f"{name} must be an object, not {shown(data)}", where=self.where)
        kind = known["type"]
        if known["any"] and isinstance(data.get("model_type"), str):
            kind = _NAMED.get(str(data["model_type"]), str(data["model_type"]))
        if kind not in recorded()["types"]:
            return Sizes(data | {"model_type": kind}, {}, self.where, name)
        of_type = recorded()["types"][kind]
        handed = {key: self.own.value(key) for key in _HANDED.get(self.family, ()) if name == "vision_config"}
        said = _renamed(data, of_type["aliases"]) | handed | {"model_type": kind}
        found = Sizes(said, of_type["keys"], self.where, name)
        self._read.append(found)
        return found

    def unread(self) -> tuple[str, ...]:
        """The keys of towers that their classes do not have."""
        return tuple(key for sizes in self._read for key in sizes.unread())


def _renamed(data: Mapping[str, object], aliases: Mapping[str, str]) -> dict[str, object]:
    """The keys under the names that the class has for them."""
    found = {key: value for key, value in data.items() if key not in aliases}
    return {aliases[key]: value for key, value in data.items() if key in aliases} | found
