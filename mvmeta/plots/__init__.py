"""Pictures of a fit, made for dependent effects: each function returns a matplotlib Figure.

Every function takes the results first and an `ax` to draw on, as those of statsmodels.graphics
do; without one it makes a figure of a sensible size.  matplotlib is an optional dependency:
``pip install "mvmeta[plot]"``.
"""

from mvmeta.plots.bubble import bubble
from mvmeta.plots.caterpillar import caterpillar
from mvmeta.plots.evidence import evidence
from mvmeta.plots.forest import forest
from mvmeta.plots.funnel import funnel
from mvmeta.plots.heterogeneity import heterogeneity
from mvmeta.plots.history import history
from mvmeta.plots.influence import influence
from mvmeta.plots.network import network
from mvmeta.plots.orchard import orchard
from mvmeta.plots.profile import profile
from mvmeta.plots.sensitivity import sensitivity

__all__ = [
    "bubble",
    "caterpillar",
    "evidence",
    "forest",
    "funnel",
    "heterogeneity",
    "history",
    "influence",
    "network",
    "orchard",
    "profile",
    "sensitivity",
]
