"""The options that commands share, each spelled once."""

from fractions import Fraction
from shlex import join
from typing import Annotated, Literal

import typer

from tscale.cli.headings import PARALLELISM, TRAINING
from tscale.core.tracing import MOST_CONTEXT, MOST_TOKENS, parse_count, parse_fraction
from tscale.errors import RequestError
from tscale.render import Format


def model_names(incomplete: str) -> list[str]:
    """Built-in names for shell completion; no YAML is read."""
    from tscale.catalogue.models import names

    return [name for name in names() if name.startswith(incomplete.lower())]


def shown_names(incomplete: str) -> list[str]:
    """Whatever `show` knows by name, for shell completion: models, hardware, laws and claims; no YAML is read."""
    from tscale.catalogue.models import names
    from tscale.catalogue.shipped import shipped_names

    known = [*names(), *shipped_names("hardware"), *shipped_names("laws"), *shipped_names("claims")]
    return [name for name in known if name.startswith(incomplete.lower())]


def tokens(text: str | None) -> int | None:
    """--tokens: 300e9, 1.5T; k is 1000."""
    return optional_count(text, "--tokens")


def context(text: str | None, what: str = "--context") -> int | None:
    """--context: 2048, 128k; k is 1024, as in model cards."""
    return None if text is None else parse_count(text, what=what, most=MOST_CONTEXT, kilo=1024)


def contexts(text: str | None) -> list[int]:
    """--context as a list: 512,2k,8k."""
    if text is None:
        return []
    parts = [part for part in text.split(",") if part.strip()]
    if not parts or len(parts) > MOST_CONTEXTS:
        raise RequestError(f"--context takes 1 to {MOST_CONTEXTS} lengths separated by commas, such as 512,2k,8k")
    return [parse_count(part, what="--context", most=MOST_CONTEXT, kilo=1024) for part in parts]


def number(text: str | None, what: str, most: int = 10**9, such_as: str = "2.5") -> Fraction | None:
    """A number above 0, whole or not."""
    return None if text is None else parse_fraction(text, what=what, most=most, such_as=such_as)


def share(text: str | None, what: str, of: str = "the peak") -> Fraction | None:
    """A share of 1: 0.4 or 40%; `of` what it is one, for whoever writes more than all of it."""
    if text is None:
        return None
    percent = text.strip().endswith("%")
    value = parse_fraction(text.strip().removesuffix("%"), what=what, most=10**6, such_as="0.4 or 40%")
    value = value / 100 if percent else value
    if value > 1:
        meant = f": write {text.strip()}% if per cent is meant" if not percent and 2 <= value <= 100 else ""
        raise RequestError(f"{what} is a share of {of}, at most 1, not {text.strip()[:40]}{meant}")
    return value


def words_of(model: str, changes: list[str], assume: str | None, gpu: str, gpu_changes: list[str]) -> str:
    """A model and hardware as they were named, to be pasted into another command line."""
    words = [model]
    words += [word for change in changes for word in ("--set", change)]
    words += [] if assume is None else ["--assume", assume]
    words += ["--gpu", gpu]
    words += [word for change in gpu_changes for word in ("--gpu-set", change)]
    return join(words)


def devices(text: str | None, what: str = "--gpus") -> int | None:
    """A number of devices: 8, 1024, 16k (16,000)."""
    return None if text is None else parse_count(text, what=what, most=10**9)


def zero_stage(text: str) -> int:
    """A stage of ZeRO: 0, 1, 2 or 3."""
    if text.strip() not in {"0", "1", "2", "3"}:
        raise RequestError(f"--zero is a stage of ZeRO, 0, 1, 2 or 3, not {text.strip()[:40]}")
    return int(text)


def degree(text: str, what: str) -> int:
    """How many devices share something in one way: 1, 8."""
    return parse_count(text, what=what, most=10**6)


def size(text: str, what: str) -> int:
    """A width or a count: 3, 256, 1k (1024)."""
    return parse_count(text, what=what, most=10**12, kilo=1024)


def optional_count(text: str | None, what: str) -> int | None:
    """A number of tokens where one was given: 300e9, 1.5T."""
    return None if text is None else parse_count(text, what=what, most=MOST_TOKENS)


def law_names(incomplete: str) -> list[str]:
    """The laws that are shipped for shell completion; no YAML is read."""
    from tscale.catalogue.laws import listed_laws

    return [name for name in listed_laws() if name.startswith(incomplete.lower())]


Dtype = Literal["fp32", "bf16", "fp16", "fp8", "int8", "int4"]
MOST_CONTEXTS = 100
MOST_PARAMETERS = 10**18

MODEL_HELP = (
    "Give a built-in name, a YAML file, a config.json or its folder, org/name on the hub, or - for standard input."
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, autocompletion=model_names, show_default=False)]
Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help=MODEL_HELP, autocompletion=model_names, show_default=False)
]
Changes = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a field of the spec. Repeat it to change several.",
        show_default=False,
    ),
]
Assume = Annotated[
    str | None,
    typer.Option("--assume", metavar="FAMILY", help="Count a config.json of an unknown family as one of this family."),
]
OutputFormat = Annotated[Format, typer.Option("--format", help="Set the output format.")]
Explain = Annotated[bool, typer.Option("--explain", help="Show the derivation of each number, and its source.")]
PlotTo = Annotated[
    str | None,
    typer.Option(
        "--plot",
        metavar="[FILE]",
        help="Draw a plot in a new .svg or .png file, or in the terminal if no file is named.",
        show_default=False,
    ),
]
Tokens = Annotated[
    str | None,
    typer.Option("--tokens", metavar="N", help="Set the training tokens, such as 300e9 or 1.5T; k is 1,000."),
]
Context = Annotated[
    str | None,
    typer.Option("--context", metavar="N", help="Set the tokens of a sequence, such as 2048 or 2k; k is 1,024."),
]
HardwareChanges = Annotated[
    list[str],
    typer.Option(
        "--gpu-set", metavar="KEY=VALUE", help="Change a field of the hardware; repeatable.", show_default=False
    ),
]
Gpu = Annotated[
    str,
    typer.Option(
        "--gpu",
        metavar="NAME",
        help="Name the hardware, such as h100, or a YAML file; `tscale list hardware` has the names.",
    ),
]
Gpus = Annotated[str | None, typer.Option("--gpus", metavar="N", help="Set the number of devices, such as 8 or 1024.")]
Mfu = Annotated[str | None, typer.Option("--mfu", metavar="SHARE", help="Model FLOPs utilisation: 0.4 or 40%.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")]
Price = Annotated[
    str | None, typer.Option("--price", metavar="USD", help="Set the price of a GPU-hour in US dollars, such as 2.50.")
]
Tensor = Annotated[
    str,
    typer.Option(
        "--tensor",
        rich_help_panel=PARALLELISM,
        metavar="N",
        help="Set the devices that share each layer (tensor parallelism).",
    ),
]
Pipeline = Annotated[
    str,
    typer.Option(
        "--pipeline",
        rich_help_panel=PARALLELISM,
        metavar="N",
        help="Set the stages that share the layers (pipeline parallelism).",
    ),
]
Interleave = Annotated[
    str,
    typer.Option(
        "--interleave",
        rich_help_panel=PARALLELISM,
        metavar="N",
        help="Set the model chunks of each stage (interleaved 1F1B).",
    ),
]
Zero = Annotated[
    str,
    typer.Option(
        "--zero",
        rich_help_panel=PARALLELISM,
        metavar="0-3",
        help="Set the ZeRO stage: what data-parallel devices shard; 3 is FSDP.",
    ),
]
MicroBatch = Annotated[
    str,
    typer.Option("--micro-batch", rich_help_panel=TRAINING, metavar="N", help="Set the sequences of a micro-batch."),
]
Laws = Annotated[
    list[str],
    typer.Option(
        "--law",
        metavar="NAME|FILE",
        help="Choose a scaling law by name or file. Repeat it for several; by default all are used.",
        autocompletion=law_names,
        show_default=False,
    ),
]
Unique = Annotated[
    str | None,
    typer.Option(
        "--unique-tokens",
        metavar="N",
        help="Set the number of unique tokens, such as 100e9: further training tokens repeat them.",
    ),
]
Served = Annotated[
    str | None,
    typer.Option(
        "--inference-tokens",
        metavar="N",
        help="Set the tokens to be served, such as 1e12, to include the FLOPs of serving.",
    ),
]
