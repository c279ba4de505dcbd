"""Effect sizes and their sampling variances from what studies report."""

from mvmeta.effects.deviations import conv_sd
from mvmeta.effects.escalc import escalc
from mvmeta.effects.five_numbers import conv_fivenum
from mvmeta.effects.registry import MEASURES
from mvmeta.effects.reshape import contrmat, to_long, to_wide
from mvmeta.effects.tables import conv_2x2
from mvmeta.effects.wald import conv_wald

__all__ = [
    "MEASURES",
    "contrmat",
    "conv_2x2",
    "conv_fivenum",
    "conv_sd",
    "conv_wald",
    "escalc",
    "to_long",
    "to_wide",
]
