"""The options that commands share, each spelled once."""

from fractions import Fraction
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
        meant = f": write {text.strip()}% if per cent is meant" if not percent and 1 < value <= 100 else ""
        raise RequestError(f"{what} is a share of {of}, at most 1, not {text.strip()[:40]}{meant}")
    return value


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

MODEL_HELP = "A built-in name, a YAML file, a config.json or its folder, org/name on the hub, or - for standard input."

Model = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, autocompletion=model_names, show_default=False)]
Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help=MODEL_HELP, autocompletion=model_names, show_default=False)
]
Changes = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the spec; repeatable.", show_default=False),
]
Assume = Annotated[
    str | None,
    typer.Option("--assume", metavar="FAMILY", help="Count a config.json of an unknown family as one of this family."),
]
OutputFormat = Annotated[Format, typer.Option("--format", help="How to write the answer.")]
Explain = Annotated[bool, typer.Option("--explain", help="Show how each number was made, and its source.")]
PlotTo = Annotated[
    str | None,
    typer.Option(
        "--plot",
        metavar="[FILE]",
        help="Draw it: to a new .svg or .png file, or in the terminal where none is named.",
        show_default=False,
    ),
]
Tokens = Annotated[str | None, typer.Option("--tokens", metavar="N", help="Training tokens, such as 300e9 or 1.5T.")]
Context = Annotated[str | None, typer.Option("--context", metavar="N", help="Tokens of a sequence; 2k is 2048.")]
HardwareChanges = Annotated[
    list[str],
    typer.Option(
        "--gpu-set", metavar="KEY=VALUE", help="Change a field of the hardware; repeatable.", show_default=False
    ),
]
Gpu = Annotated[
    str, typer.Option("--gpu", metavar="NAME", help="The hardware: h100, a YAML file; `list hardware` names it.")
]
Gpus = Annotated[str | None, typer.Option("--gpus", metavar="N", help="How many devices.")]
Price = Annotated[str | None, typer.Option("--price", metavar="USD", help="US dollars for a GPU-hour.")]
Tensor = Annotated[
    str,
    typer.Option(
        "--tensor", rich_help_panel=PARALLELISM, metavar="N", help="Devices that share each layer (tensor parallelism)."
    ),
]
Pipeline = Annotated[
    str,
    typer.Option(
        "--pipeline",
        rich_help_panel=PARALLELISM,
        metavar="N",
        help="Stages that the layers are divided into (pipeline parallelism).",
    ),
]
Interleave = Annotated[
    str,
    typer.Option(
        "--interleave", rich_help_panel=PARALLELISM, metavar="N", help="Model chunks of each stage (interleaved 1F1B)."
    ),
]
Zero = Annotated[
    str,
    typer.Option(
        "--zero",
        rich_help_panel=PARALLELISM,
        metavar="0-3",
        help="ZeRO stage: what data-parallel devices shard; 3 is FSDP.",
    ),
]
MicroBatch = Annotated[
    str, typer.Option("--micro-batch", rich_help_panel=TRAINING, metavar="N", help="Sequences of a micro-batch.")
]
Laws = Annotated[
    list[str],
    typer.Option(
        "--law",
        metavar="NAME|FILE",
        help="A scaling law by name, or a file of one; repeatable. All where absent.",
        autocompletion=law_names,
        show_default=False,
    ),
]
Unique = Annotated[
    str | None, typer.Option("--unique-tokens", metavar="N", help="Tokens that there are: more are repeats.")
]
Served = Annotated[
    str | None, typer.Option("--inference-tokens", metavar="N", help="Tokens to be served: counts them in.")
]
