from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from tscale.cli.options import Assume, Changes, Families, shown_names

if TYPE_CHECKING:
    from tscale.models.spec import Spec

_Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name a model, an accelerator, a scaling law or a file of claims; or give a file, as for MODEL.",
        autocompletion=shown_names,
        show_default=False,
    ),
]
_ShowFormat = Annotated[Literal["yaml", "json"], typer.Option("--format", help="Set the output format.")]


def show(
    model: _Name,
    changes: Changes = [],
    assume: Assume = None,
    families: Families = None,
    format: _ShowFormat = "yaml",
) -> None:
    """Print the file of a model, accelerator, law or claims.

    The file has the sources and notes of its figures. The name here is the GPU of this machine.
    """
    from tscale.catalogue.models import known_name, text_of
    from tscale.render import print_text

    name = known_name(model)
    if name is None and (
        _shows_hardware(model, changes, format)
        or _shows_shipped("laws", model, changes, format)
        or _shows_shipped("claims", model, changes, format)
    ):
        return
    spec = _found(model, changes, assume, families)
    if format == "json":
        import json

        from tscale.models.writing import plain

        print_text(json.dumps(plain(spec), indent=2, ensure_ascii=False) + "\n")
    elif name is not None and not changes:
        print_text(text_of(name))
    else:
        from tscale.models.writing import to_yaml

        print_text(to_yaml(spec))


_DetectFormat = Annotated[Literal["table", "json"], typer.Option("--format", help="Set the output format.")]


def detect(format: _DetectFormat = "table") -> None:
    """Name the GPU of this machine, which --gpu here stands for.

    nvidia-smi, rocm-smi or, on a Mac, sysctl is asked, for 10 seconds at most each.
    """
    from tscale.catalogue.here import accelerators_here, known_as
    from tscale.render import print_text

    found = [(one, known_as(one)) for one in accelerators_here(where="")]
    if format == "json":
        rows = [
            {
                "reported_name": one.name,
                "reported_mib": one.mib,
                "gpu_cores": one.cores,
                "devices": one.devices,
                "reported_by": one.by,
                "hardware": None if known is None else known.name,
                "title": None if known is None else known.label,
            }
            for one, known in found
        ]
        print_text(_json({"found": rows}))
        return
    for one, known in found:
        meant = "not among the shipped hardware" if known is None else f"{known.name} ({known.label})"
        print_text(f"{one.text}: {meant}\n")
    if len(found) == 1 and found[0][1] is not None:
        print_text("--gpu here stands for it.\n")


def _shows_hardware(name: str, changes: list[str], format: str) -> bool:
    """Prints the accelerator that is shipped under a name; whether there is one."""
    from tscale.catalogue.hardware import HERE, find_hardware, hardware_text, known_hardware
    from tscale.models.writing import plain, yaml_of
    from tscale.render import print_text

    known = HERE if name.strip().lower() == HERE else known_hardware(name)
    if known is None:
        return False
    changes_or_here = bool(changes) or known == HERE
    if format == "json":
        print_text(_json(plain(find_hardware(known, changes, "--set"))))
    else:
        print_text(yaml_of(plain(find_hardware(known, changes, "--set"))) if changes_or_here else hardware_text(known))
    return True


def _shows_shipped(folder: Literal["laws", "claims"], name: str, changes: list[str], format: str) -> bool:
    """Prints the scaling law, or the file of claims, that is shipped under a name; whether there is one."""
    from tscale.catalogue.claims import read_claims
    from tscale.catalogue.laws import read_law
    from tscale.catalogue.shipped import shipped_names, shipped_text
    from tscale.errors import RequestError
    from tscale.models.writing import plain
    from tscale.render import print_text

    name = name.lower()
    if name not in shipped_names(folder):
        return False
    if changes:
        raise RequestError(
            f"--set changes models and hardware: `tscale show {name} > my.yaml` begins a file to change {_ONE[folder]} in"
        )
    if format == "json":
        print_text(_json(plain(read_law(name) if folder == "laws" else read_claims(name)[0])))
    else:
        print_text(shipped_text(folder, name))
    return True


_ONE: Final = {"laws": "a law", "claims": "claims"}


def _found(name: str, changes: list[str], assume: str | None, families: str | None) -> "Spec":
    """The spec of a model. Raises `UnknownNameError` that suggests the nearest of all that can be shown."""
    from tscale.errors import UnknownNameError, nearest, shown
    from tscale.models.resolve import find

    try:
        if families is None:
            return find(name, changes, assume)
        from tscale.importer.families import more_families

        with more_families(families):
            return find(name, changes, assume)
    except UnknownNameError:
        from tscale.catalogue.index import aliases_of
        from tscale.catalogue.models import names_and_aliases, normalised

        legal = [*names_and_aliases(), *shown_names(""), *aliases_of("hardware")]
        hint = nearest(normalised(name), legal, aliases_of("laws"))
        if not hint.startswith("did you mean"):
            hint = "`tscale list` names the models, `tscale list hardware`, laws and claims the rest"
        raise UnknownNameError(f"no model, hardware, law or claims {shown(name)}: {hint}") from None


def _json(plain: object) -> str:
    """What a file holds, as indented JSON."""
    import json

    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
