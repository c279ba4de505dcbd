"""Effect sizes and their sampling variances from what studies report."""

from mvmeta.effects.escalc import escalc
from mvmeta.effects.registry import MEASURES

__all__ = ["MEASURES", "escalc"]
