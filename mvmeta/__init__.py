"""Multilevel and multivariate meta-analysis with formulas, in the manner of statsmodels."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mvmeta._version import __version__
from mvmeta.errors import (
    ConvergenceError,
    CovarianceError,
    DataError,
    EngineError,
    MvmetaError,
    MvmetaWarning,
    SpecificationError,
)

if TYPE_CHECKING:
    from mvmeta import batches, datasets, interop, plots, transf
    from mvmeta.design.sampling import SamplingCovariance
    from mvmeta.effects import (
        contrmat,
        conv_2x2,
        conv_fivenum,
        conv_sd,
        conv_wald,
        escalc,
        to_long,
        to_wide,
    )
    from mvmeta.metafor.translation import MetaforTranslation, from_metafor
    from mvmeta.model.mixed import MetaMixedLM
    from mvmeta.model.preparation.aggregate import aggregate
    from mvmeta.model.preparation.pairwise import pairwise
    from mvmeta.model.preparation.rcalc import rcalc
    from mvmeta.model.preparation.stack_outcomes import stack_outcomes
    from mvmeta.model.preparation.study_weights import study_weights
    from mvmeta.model.preparation.varms import varms
    from mvmeta.model.preparation.vcalc import vcalc
    from mvmeta.model.results.bootstrap import BootstrapResults
    from mvmeta.model.results.comparison import compare
    from mvmeta.model.results.many_results import ManyOutcomesResults
    from mvmeta.model.results.results import MetaMixedLMResults
    from mvmeta.model.specification.random import Random
    from mvmeta.recipes.working_models import che, sce

__all__ = [
    "BootstrapResults",
    "ConvergenceError",
    "CovarianceError",
    "DataError",
    "EngineError",
    "ManyOutcomesResults",
    "MetaMixedLM",
    "MetaMixedLMResults",
    "MetaforTranslation",
    "MvmetaError",
    "MvmetaWarning",
    "Random",
    "SamplingCovariance",
    "SpecificationError",
    "__version__",
    "aggregate",
    "batches",
    "che",
    "compare",
    "contrmat",
    "conv_2x2",
    "conv_fivenum",
    "conv_sd",
    "conv_wald",
    "datasets",
    "escalc",
    "from_metafor",
    "interop",
    "pairwise",
    "plots",
    "rcalc",
    "sce",
    "stack_outcomes",
    "study_weights",
    "to_long",
    "to_wide",
    "transf",
    "varms",
    "vcalc",
]

# Loaded on first use (PEP 562): statsmodels and pandas take a second to import, and
# `mvmeta --help` or the numerical core need neither.
_HOMES = {
    "BootstrapResults": "mvmeta.model.results.bootstrap",
    "ManyOutcomesResults": "mvmeta.model.results.many_results",
    "MetaMixedLM": "mvmeta.model.mixed",
    "MetaMixedLMResults": "mvmeta.model.results.results",
    "MetaforTranslation": "mvmeta.metafor.translation",
    "Random": "mvmeta.model.specification.random",
    "SamplingCovariance": "mvmeta.design.sampling",
    "aggregate": "mvmeta.model.preparation.aggregate",
    "che": "mvmeta.recipes.working_models",
    "compare": "mvmeta.model.results.comparison",
    "contrmat": "mvmeta.effects",
    "conv_2x2": "mvmeta.effects",
    "conv_fivenum": "mvmeta.effects",
    "conv_sd": "mvmeta.effects",
    "conv_wald": "mvmeta.effects",
    "escalc": "mvmeta.effects",
    "from_metafor": "mvmeta.metafor.translation",
    "pairwise": "mvmeta.model.preparation.pairwise",
    "rcalc": "mvmeta.model.preparation.rcalc",
    "sce": "mvmeta.recipes.working_models",
    "stack_outcomes": "mvmeta.model.preparation.stack_outcomes",
    "study_weights": "mvmeta.model.preparation.study_weights",
    "to_long": "mvmeta.effects",
    "to_wide": "mvmeta.effects",
    "varms": "mvmeta.model.preparation.varms",
    "vcalc": "mvmeta.model.preparation.vcalc",
}


def __getattr__(name: str) -> Any:
    if name in ("batches", "datasets", "interop", "plots", "transf"):
        return import_module(f"mvmeta.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'mvmeta' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
