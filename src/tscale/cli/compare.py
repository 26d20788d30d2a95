from tscale.cli import options
from tscale.cli.options import Assume, Changes, Context, Explain, Models, OutputFormat, PlotTo
from tscale.errors import RequestError
from tscale.render import show_with_plot

_MOST = 8


def compare(
    models: Models,
    context: Context = None,
    changes: Changes = [],
    assume: Assume = None,
    plot: PlotTo = None,
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Compare 2 to 8 models, with ratios to the first.

    --set changes all of them.
    """
    from tscale.answers.compare import compare_report
    from tscale.answers.plots.compare import compare_plot
    from tscale.models.resolve import find_all

    if not 2 <= len(models) <= _MOST:
        raise RequestError(f"compare takes 2 to {_MOST} models, not {len(models)}: tscale compare transformer gpt3")
    specs, length = find_all(models, changes, assume), options.context(context)
    show_with_plot(
        lambda: compare_report(specs, length), lambda: [compare_plot(specs, length)], plot, format, explain=explain
    )
