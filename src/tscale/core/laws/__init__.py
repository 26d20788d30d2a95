"""Scaling laws: the loss that a run is predicted to reach, and the run that is best for a budget.

Floats, unlike the counts: a law's exponents were fitted to a few digits, and a power with such an exponent is no exact
number. Each kind of law is one class that holds its constants, in a file of its own. A law of dense models answers
`at_flops`, `at_params` and `at_tokens`: the compute-optimal run of that budget, of that many parameters, or of that many
tokens. One of experts models (`experts`) answers for a `Mixture`. C = 6·N·D throughout.
"""

from tscale.core.laws.bare import Bare
from tscale.core.laws.farseer import Farseer
from tscale.core.laws.kaplan import Kaplan, KaplanJoint
from tscale.core.laws.lifetime import Lifetime
from tscale.core.laws.parametric import Parametric
from tscale.core.laws.point import Point
from tscale.core.laws.power import Power, power_of_flops_per_token, power_of_tokens
from tscale.core.laws.precision import HALF, Bits, Precision
from tscale.core.laws.repeated import Repeated, effective

Law = Power | Kaplan | KaplanJoint | Parametric | Lifetime | Repeated | Farseer | Bare

__all__ = [
    "HALF", "Bare", "Bits", "Farseer", "Kaplan", "KaplanJoint", "Law", "Lifetime", "Parametric", "Point", "Power",
    "Precision", "Repeated", "effective", "power_of_flops_per_token", "power_of_tokens",
]  # fmt: skip
