"""The built-in models: their names, and their specs without reading or validating YAML again (`tscale.catalogue.index`)."""

from functools import cache
from typing import NamedTuple, cast

from tscale.catalogue import index
from tscale.catalogue.index import configs
from tscale.errors import UnknownNameError, nearest
from tscale.models.spec import ModelSpec, Spec, build

__all__ = [
    "Listed", "built_in", "configs", "from_yaml", "known_name", "listed", "names", "names_and_aliases", "no_such_model",
    "normalised", "text_of",
]  # fmt: skip


class Listed(NamedTuple):
    """What a list of the built-in models shows of one."""

    name: str
    title: str
    year: int | None
    kind: str
    aliases: tuple[str, ...]
    params: int | None
    """Its parameters; None of one whose shape was never published."""
    active_params: int | None


def listed() -> list[Listed]:
    """Every built-in model, in the order of their years."""
    specs = [spec for _, spec in index.everything("models")]
    counted = {name: sizes or {} for name, sizes in index.counted("models")}
    rows = [
        Listed(
            spec["name"],
            spec.get("title", spec["name"]),
            spec.get("year"),
            spec.get("kind", "decoder"),
            tuple(spec.get("aliases", ())),
            counted[spec["name"]].get("params"),
            counted[spec["name"]].get("active_params"),
        )
        for spec in specs
    ]
    return sorted(rows, key=lambda row: row.year or 0)


def names() -> list[str]:
    """The names of the built-in models, without their aliases."""
    return list(index.names("models"))


def names_and_aliases() -> list[str]:
    """The names of the built-in models, then their aliases."""
    return [*names(), *(alias for _, spec in index.everything("models") for alias in spec.get("aliases", ()))]


def normalised(name: str) -> str:
    """A name as the catalogue spells it: lower case, with dashes."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def known_name(name: str) -> str | None:
    """The built-in model that a name or an alias means, or None."""
    wanted = normalised(name)
    if index.is_compiled("models", wanted):
        return wanted
    return index.aliases_of("models").get(wanted)


def no_such_model(name: str) -> UnknownNameError:
    """The error for a name that means no model, with the nearest that does."""
    hint = nearest(normalised(name), names_and_aliases())
    if not hint.startswith("did you mean"):
        hint = "`tscale list` names the built-in ones; a path to a YAML file works too"
    return UnknownNameError(f'no model "{name[:60]}": {hint}')


def text_of(name: str) -> str:
    """The YAML of a built-in model, comments and all."""
    return index.text_of("models", name)


@cache
def built_in(name: str) -> Spec:
    """The spec of a built-in model, by the name the catalogue knows it by: frozen, so that one is made once."""
    data = index.compiled("models", name)
    if data is None:
        return from_yaml(name)
    if data["kind"] == "undisclosed":
        from tscale.models.undisclosed import UndisclosedSpec

        return cast("Spec", build(UndisclosedSpec, data))
    return cast("Spec", build(ModelSpec, data))


def from_yaml(name: str) -> Spec:
    """The spec of a built-in model as its YAML says it, read and validated."""
    from tscale.models.validation import validated
    from tscale.models.yaml_file import parse_document

    return validated(parse_document(text_of(name), f"{name}.yaml"))


if __name__ == "__main__":  # the same as `python -m tscale.catalogue`
    from tscale.catalogue.compiling import write

    write()
