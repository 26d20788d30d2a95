"""What tokens of a predicted deployment cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.calibration.serving_calibration import prompt_share
from tscale.core.metric import Figure
from tscale.core.units import USD
from tscale.estimates.rent import Rent
from tscale.estimates.serve.prediction import Predicted

DOLLARS: Final = {
    "usd_per_million_input_tokens": "$ per 1M input tokens",
    "usd_per_million_output_tokens": "$ per 1M output tokens",
}


def dollars_of(found: Predicted | str, rent: Rent | None) -> Iterator[tuple[str, Figure]]:
    """What tokens in and out cost, which add up to all devices, divided as `prompt_share` divides them.

    Yields: the key of each in `DOLLARS` with its figure; nothing without a price or a prediction.
    """
    if isinstance(found, str) or rent is None or found.times is None:
        return
    case, requests = found.case, found.requests_per_second
    prompts = case.devices * prompt_share(case, found.calibration)
    for key, devices, tokens in zip(
        DOLLARS, (prompts, case.devices - prompts), (case.prompt, case.output), strict=True
    ):
        hours = devices / 3600 / (requests * tokens)
        yield key, Figure(hours * 10**6 * float(rent.middle), USD, "predicted")
