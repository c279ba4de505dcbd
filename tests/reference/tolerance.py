"""How far a fit may be from a reference: derived from what the case says about its own maximum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.reference.loader import array

# Smallest relative difference that is asked for: both sides are maxima found in floating point.
OPTIMUM = 1e-6
# Cases whose numbers are themselves this uncertain (their tags say why).
LOOSE = 1e-4
LOOSE_TAGS = {"ill_conditioned", "collinear", "scale", "not_identified", "degenerate", "V_singular"}
# Nothing is maximised when every component is given, so only rounding remains.
ALGEBRA = 1e-9
# The log-likelihood of the reference is flat to 1e-8 over its recorded width; a fit may end
# three widths from it, which is 1e-7 below the maximum.
WIDTHS = 3.0
# Beyond this share of itself a standard error is not something the likelihood determines.
UNDETERMINED = 0.05


@dataclass(frozen=True)
class Tolerance:
    """
    Allowed differences of one case.

    Attributes
    ----------
    base : float
        Relative difference of anything that does not depend on the components.
    relative : float
        The same for what depends on them: the largest relative width.
    params, bse : ndarray (p,)
        Absolute differences of coefficients and standard errors.
    components : dict of str to ndarray
        Absolute differences, infinite where the likelihood does not identify a component.
    determined : bool
        False where the standard errors are not determined by the likelihood.
    """

    base: float
    relative: float
    params: np.ndarray
    bse: np.ndarray
    components: dict[str, np.ndarray]
    determined: bool


def tolerance_of(case):
    """Tolerance of a case at an optimum, or of one at fixed components."""
    est, se = (array(case["expected"]["coefficients"][key]) for key in ("est", "se"))
    if "optimum" not in case:
        return Tolerance(ALGEBRA, ALGEBRA, ALGEBRA * (np.abs(est) + se), ALGEBRA * se, {}, True)
    base = _base(case)
    sensitivity = case["expected"].get("sensitivity")
    wide_est = WIDTHS * array(sensitivity["coefficients"]) if sensitivity else np.zeros(len(est))
    wide_se = WIDTHS * array(sensitivity["se"]) if sensitivity else 1e-5 * se
    with np.errstate(all="ignore"):
        shares = np.concatenate([wide_est / se, wide_se / se])
        determined = bool(np.nanmax(wide_se / se) <= UNDETERMINED)
    relative = max(base, *shares[np.isfinite(shares)], *_component_shares(case))
    return Tolerance(
        base=base,
        relative=min(relative, UNDETERMINED),
        params=wide_est + base * (se + np.abs(est)),
        bse=wide_se + base * se,
        components=_component_widths(case, base),
        determined=determined,
    )


def assert_close(actual, expected, *, absolute=0.0, relative=0.0, what=""):
    """Every finite expected number is met within the larger of the two allowances."""
    actual, expected = np.asarray(actual, dtype=float), array(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    known = np.isfinite(expected)
    if not known.any():
        return
    # Rounding in sums over rows is relative to the largest entry.
    floor = 1e-13 * np.abs(expected[known]).max()
    allowed = np.maximum(absolute, relative * np.abs(expected)) + floor
    allowed = np.broadcast_to(allowed, known.shape)
    off = known & ~(np.abs(actual - expected) <= allowed)
    assert not off.any(), (
        f"{what}: {actual[off][:3]} instead of {expected[off][:3]}, allowed {allowed[off][:3]}"
    )


def assert_near(actual, expected, relative, *, floor=0.0, what=""):
    """`assert_close` with a share of the largest entry (at least `floor`) as the allowance."""
    numbers = np.abs(array(expected))
    largest = np.nanmax(numbers, initial=floor)
    assert_close(actual, expected, absolute=relative * largest, relative=relative, what=what)


def _base(case):
    if LOOSE_TAGS & set(case["tags"]):
        return LOOSE
    smallest = case["optimum"].get("min_eig_G_relative")
    # A singular G is reached by the reference only from inside.
    return 1e-5 if smallest is not None and smallest < 1e-6 else OPTIMUM


def _component_widths(case, base):
    widths = case["expected"].get("components_tol") or {}
    allowed = {}
    for name, values in case["expected"]["components"].items():
        size = np.abs(array(values))
        width = WIDTHS * array(widths[name]) if name in widths else np.zeros(len(size))
        allowed[name] = np.where(np.isnan(width), np.inf, np.maximum(width, max(base, 1e-5) * size))
    return allowed


def _component_shares(case):
    widths = case["expected"].get("components_tol") or {}
    for name in {"sigma2", "tau2", "gamma2"} & set(widths):
        values, width = array(case["expected"]["components"][name]), array(widths[name])
        usable = np.isfinite(width) & (values != 0)
        yield from WIDTHS * width[usable] / np.abs(values[usable])
