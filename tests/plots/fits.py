"""One call from a formula to a fit."""

from mvmeta import MetaMixedLM


def fit(formula, data, variance, groups=None, **options):
    return MetaMixedLM.from_formula(
        formula, data=data, variance=variance, groups=groups, **options
    ).fit()
