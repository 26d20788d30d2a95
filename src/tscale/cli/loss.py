from tscale.cli import options
from tscale.cli.options import Assume, Changes, Explain, Laws, Model, OutputFormat, Served, Tokens, Unique
from tscale.render import show


def loss(
    model: Model,
    tokens: Tokens = None,
    unique_tokens: Unique = None,
    inference_tokens: Served = None,
    law: Laws = [],
    changes: Changes = [],
    assume: Assume = None,
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Predict the loss of a model by each scaling law.

    The answer says how far its training is from compute-optimal, and which other runs reach the same loss.
    """
    from tscale.answers.assumed import as_assumed
    from tscale.answers.loss import loss_report
    from tscale.models.resolve import resolve

    counts = (
        options.tokens(tokens),
        law,
        options.optional_count(unique_tokens, "--unique-tokens"),
        options.optional_count(inference_tokens, "--inference-tokens"),
    )
    spec = resolve(model, changes, assume)
    show(as_assumed(loss_report(spec, *counts, explain=explain), spec), format, explain=explain)
