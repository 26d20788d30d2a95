from typing import Annotated, Literal

import typer

from tscale.cli.options import Assume, Changes, Model, OutputFormat
from tscale.render import show as show_report

_What = Annotated[
    Literal["models", "hardware", "formats", "laws", "claims"],
    typer.Argument(metavar="[models|hardware|formats|laws|claims]", help="What to list."),
]
_ShowFormat = Annotated[Literal["yaml", "json"], typer.Option("--format", help="How to write the spec.")]


def list_(what: _What = "models", format: OutputFormat = "table") -> None:
    """List the built-in models, the hardware, the number formats, the scaling laws, or the claims that are shipped."""
    from tscale.answers.catalogue import claims_report, formats_report, hardware_report, laws_report, models_report

    reports = {
        "models": models_report,
        "hardware": hardware_report,
        "formats": formats_report,
        "laws": laws_report,
        "claims": claims_report,
    }
    show_report(reports[what](), format)


def show(model: Model, changes: Changes = [], assume: Assume = None, format: _ShowFormat = "yaml") -> None:
    """Print a model's spec, an accelerator's, or a scaling law, with its sources and notes."""
    from tscale.catalogue.models import known_name, text_of
    from tscale.models.resolve import find
    from tscale.render import print_text

    name = known_name(model)
    if name is None and (_shows_hardware(model, changes, format) or _shows_law(model, changes, format)):
        return
    spec = find(model, changes, assume)
    if format == "json":
        import json

        from tscale.models.writing import plain

        print_text(json.dumps(plain(spec), indent=2, ensure_ascii=False) + "\n")
    elif name is not None and not changes:
        print_text(text_of(name))
    else:
        from tscale.models.writing import to_yaml

        print_text(to_yaml(spec))


def _shows_hardware(name: str, changes: list[str], format: str) -> bool:
    """Prints the accelerator that is shipped under a name; whether there is one."""
    from tscale.catalogue.hardware import find_hardware, hardware_text, known_hardware
    from tscale.models.writing import plain, yaml_of
    from tscale.render import print_text

    known = known_hardware(name)
    if known is None:
        return False
    if format == "json":
        print_text(_json(plain(find_hardware(known, changes, "--set"))))
    else:
        print_text(yaml_of(plain(find_hardware(known, changes, "--set"))) if changes else hardware_text(known))
    return True


def _shows_law(name: str, changes: list[str], format: str) -> bool:
    """Prints the scaling law that is shipped under a name; whether there is one."""
    from tscale.catalogue.laws import listed_laws, read_law
    from tscale.catalogue.shipped import shipped_text
    from tscale.errors import RequestError
    from tscale.models.writing import plain
    from tscale.render import print_text

    name = name.lower()
    if name not in listed_laws():
        return False
    if changes:
        raise RequestError(f"--set: a law is changed in a file of its own: `tscale show {name} > my.yaml` begins one")
    print_text(_json(plain(read_law(name))) if format == "json" else shipped_text("laws", name))
    return True


def _json(plain: object) -> str:
    """What a file holds, as indented JSON."""
    import json

    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
