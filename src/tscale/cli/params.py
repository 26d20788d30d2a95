from tscale.cli.options import Assume, Changes, Explain, Models, OutputFormat
from tscale.render import show


def params(
    models: Models,
    changes: Changes = [],
    assume: Assume = None,
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Count the parameters of each model, part by part.

    They are compared with what was published.
    """
    from tscale.answers.params import params_report
    from tscale.cli.boundary import finish
    from tscale.models.resolve import find_all

    report = params_report(find_all(models, changes, assume))
    show(report, format, explain=explain)
    finish(report)
