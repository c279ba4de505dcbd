"""The parametric bootstrap of a fit: any statistic, refitted to data drawn from the fit."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats
from mvmeta.errors import MvmetaError, SpecificationError, warn
from mvmeta.inference.heterogeneity.spread import SpreadMeasures
from mvmeta.inference.many.fit_many import fit_many
from mvmeta.inference.many.one_by_one import run_jobs
from mvmeta.inference.many.outcomes import ManySpec
from mvmeta.inference.resampling.bootstrap import Bootstrapped
from mvmeta.inference.resampling.simulate import Simulator
from mvmeta.inference.robust.sandwich import KINDS
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.search import check_jobs
from mvmeta.progress import Progress

if TYPE_CHECKING:
    from mvmeta.model.mixed import MetaMixedLM
    from mvmeta.model.results.results import MetaMixedLMResults

Statistic = Callable[["MetaMixedLMResults"], Any]

HETEROGENEITY = "heterogeneity"
"""Name of the statistics that are computed from coefficients and components of refits."""

CELLS = 1 << 22
"""Simulated observations held at a time (32 MB)."""
FEWEST = 2
"""Replicates from which on there is a standard deviation."""


class BootstrapResults:
    """Replicates of statistics of a fit, refitted to data drawn from it.

    Parameters
    ----------
    observed : Series, shape (S,)
        Statistics of the fit itself, each in a unit of its own.
    replicates : DataFrame, shape (B, S)
        Statistics of the refits, in the units of those of the fit; NaN where there is none.
    failures : dict
        What went wrong -> how many times.

    Attributes
    ----------
    observed, replicates, failures
        As given, in the same units.
    n : int
        Replicates asked for, B.
    n_failed : int
        Those that did not converge or raised an error; they are left out of everything.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> boot = res.bootstrap(50, seed=1)
    >>> boot.se.round(3)
    Intercept                  0.071
    district: sigma2           0.036
    district/school: sigma2    0.010
    Name: se, dtype: float64
    """

    def __init__(
        self, observed: pd.Series, replicates: pd.DataFrame, failures: dict[str, int]
    ) -> None:
        self.observed, self.replicates, self.failures = observed, replicates, failures
        self.n, self.n_failed = len(replicates), sum(failures.values())

    @cached_property
    def _numbers(self) -> Bootstrapped:
        values = self.replicates.to_numpy()
        good = values[~np.isnan(values).any(axis=1)]
        if len(good) < FEWEST:
            raise SpecificationError(
                f"{len(good)} of {self.n} refits gave a statistic: too few to say anything"
                f"{_most_often(self.failures)}"
            )
        return Bootstrapped(self.observed.to_numpy(dtype=float), good)

    def _series(self, values: Floats, name: str) -> pd.Series:
        return pd.Series(values, index=self.observed.index, name=name)

    @property
    def bias(self) -> pd.Series:
        """Mean of the replicates minus the observed value, in the unit of each statistic.

        References
        ----------
        .. [1] Davison AC, Hinkley DV (1997). *Bootstrap Methods and their Application*. Cambridge
           University Press.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> res.bootstrap(20, seed=1).bias.round(3)
        Intercept                  0.009
        district: sigma2           0.017
        district/school: sigma2    0.001
        Name: bias, dtype: float64
        """
        return self._series(self._numbers.bias, "bias")

    @property
    def se(self) -> pd.Series:
        """Standard deviation of the replicates, in the unit of each statistic.

        References
        ----------
        .. [1] Davison AC, Hinkley DV (1997). *Bootstrap Methods and their Application*. Cambridge
           University Press.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> res.bootstrap(20, seed=1).se.round(3)
        Intercept                  0.067
        district: sigma2           0.056
        district/school: sigma2    0.010
        Name: se, dtype: float64
        """
        return self._series(self._numbers.se, "se")

    def conf_int(self, alpha: float = 0.05, method: str = "percentile") -> pd.DataFrame:
        """Bootstrap intervals.

        Parameters
        ----------
        alpha : float
            1 - coverage.
        method : {"percentile", "basic"}
            Quantiles of the replicates; or these reflected about the observed value, which may
            leave the range of the statistic (a variance below 0).

        Returns
        -------
        DataFrame, shape (S, 2)
            Columns 0 (lower) and 1 (upper), as in statsmodels, in the unit of each statistic.

        Raises
        ------
        SpecificationError
            For another method, an alpha not between 0 and 1, or if hardly any refit worked.

        References
        ----------
        .. [1] Davison AC, Hinkley DV (1997). *Bootstrap Methods and their Application*. Cambridge
           University Press.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> boot = res.bootstrap(50, seed=1)
        >>> boot.conf_int().round(3)
                                     0      1
        Intercept                0.041  0.291
        district: sigma2         0.011  0.138
        district/school: sigma2  0.016  0.051
        """
        limits = np.column_stack(self._numbers.interval(alpha, method))
        return pd.DataFrame(limits, index=self.observed.index)

    def summary_frame(self, alpha: float = 0.05, method: str = "percentile") -> pd.DataFrame:
        """Estimates, bias, standard errors and intervals, with their Monte Carlo errors.

        Parameters
        ----------
        alpha : float
            1 - coverage.
        method : {"percentile", "basic"}
            As in `conf_int`.

        Returns
        -------
        DataFrame
            Columns estimate, bias, bias_mc, se, se_mc, ci_lower, ci_lower_mc, ci_upper,
            ci_upper_mc, in the unit of each statistic; those in _mc are standard errors due to the
            number of replicates.

        References
        ----------
        .. [1] Davison AC, Hinkley DV (1997). *Bootstrap Methods and their Application*. Cambridge
           University Press.
        .. [2] Maritz JS, Jarrett RG (1978). A note on estimating the variance of the sample median.
           *Journal of the American Statistical Association* 73:194–196.
           doi:10.1080/01621459.1978.10480027

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> boot = res.bootstrap(50, seed=1)
        >>> boot.summary_frame()[["estimate", "se", "ci_lower", "ci_upper"]].round(3)
                                 estimate     se  ci_lower  ci_upper
        Intercept                   0.185  0.071     0.041     0.291
        district: sigma2            0.065  0.036     0.011     0.138
        district/school: sigma2     0.033  0.010     0.016     0.051
        """
        n = self._numbers
        (lower, upper), (lower_mc, upper_mc) = (
            n.interval(alpha, method),
            n.interval_error(alpha, method),
        )
        return pd.DataFrame(
            {
                "estimate": n.observed,
                "bias": n.bias,
                "bias_mc": n.bias_error,
                "se": n.se,
                "se_mc": n.se_error,
                "ci_lower": lower,
                "ci_lower_mc": lower_mc,
                "ci_upper": upper,
                "ci_upper_mc": upper_mc,
            },
            index=self.observed.index,
        )

    def summary(self, alpha: float = 0.05, method: str = "percentile") -> str:
        """`summary_frame` as text, with what failed.

        Parameters
        ----------
        alpha : float
            1 - coverage.
        method : {"percentile", "basic"}
            As in `conf_int`.

        Returns
        -------
        str

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> boot = res.bootstrap(50, seed=1)
        >>> print(boot.summary().splitlines()[0].strip())
        parametric bootstrap, 50 replicates, 95% percentile intervals
        """
        title = f"parametric bootstrap, {self.n} replicates, {1 - alpha:.0%} {method} intervals"
        lines = [title, self.summary_frame(alpha, method).to_string(float_format="{:.4g}".format)]
        lines += [f"left out: {count:>6}  {text}" for text, count in self.failures.items()]
        return "\n".join(lines)

    __str__ = summary

    def __repr__(self) -> str:
        names = shorten(map(_flat, self.observed.index))
        lost = f", {self.n_failed} left out" if self.n_failed else ""
        return (
            f"parametric bootstrap of {names}: {self.n} replicates{lost}; conf_int(), se, bias, "
            "summary()"
        )


def _flat(name: object) -> str:
    """A statistic with names of several parts in one: "i2 district"."""
    return " ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def bootstrap(
    results: MetaMixedLMResults,
    n: int,
    statistic: Statistic | str | None,
    seed: Any,
    warm: bool,
    n_jobs: int,
    disp: bool,
) -> BootstrapResults:
    """See `ResamplingMethods.bootstrap`."""
    if not is_count(n, FEWEST):
        raise SpecificationError(f"n= is the number of replicates, at least {FEWEST}; got {n!r}")
    if statistic is not None and statistic != HETEROGENEITY and not callable(statistic):
        raise SpecificationError(
            f"statistic= takes a function of the results or {HETEROGENEITY!r}, got {statistic!r}"
        )
    check_jobs(n_jobs)
    if n_jobs > 1 and callable(statistic):
        _check_picklable(statistic)
    refits = Refits(results, warm, n_jobs)
    observed = refits.observed(statistic)
    draws = draw_in_chunks(Simulator(results.fit_), n, results.nobs, random_generator(seed))
    values = np.full((n, len(observed)), np.nan)
    failures: Counter[str] = Counter()
    done = 0
    with Progress("replicates", n) as progress:
        for y in draws:
            part, reasons = refits.statistics(y, statistic, len(observed))
            values[done : done + y.shape[1]] = part
            failures.update(reasons)
            done += y.shape[1]
            progress.step(y.shape[1])
            if disp:
                sys.stdout.write(f"{done} of {n} replicates\n")
    replicates = pd.DataFrame(values, columns=observed.index)
    _say_failures(failures, n)
    return BootstrapResults(observed, replicates, dict(failures))


def _check_picklable(statistic: Statistic) -> None:
    try:
        pickle.dumps(statistic)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise SpecificationError(
            "with n_jobs > 1 the statistic is sent to other processes: it must be a function made "
            f"at the top of a module, no lambda or inner function ({error})"
        ) from None


def _say_failures(failures: Counter[str], n: int) -> None:
    if failures:
        warn(
            f"{sum(failures.values())} of {n} bootstrap refits are left out{_most_often(failures)}"
        )


def _most_often(failures: Mapping[str, int]) -> str:
    """The most frequent of the reasons, to end a sentence with."""
    return f"; most often: {max(failures, key=failures.__getitem__)}" if failures else ""


def is_count(n: object, least: int) -> bool:
    """Whether n is a whole number, at least `least`."""
    whole = isinstance(n, int | np.integer) and not isinstance(n, bool)
    return bool(whole and int(n) >= least)  # type: ignore[call-overload]


def random_generator(seed: Any) -> np.random.Generator:
    """Generator of a seed: an integer, a numpy Generator or SeedSequence, or None.

    Raises
    ------
    SpecificationError
        For anything else.
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise SpecificationError(
            f"seed= takes a non-negative integer, a numpy Generator or None, got {seed!r}"
        ) from None


def draw_in_chunks(
    simulator: Simulator, n: int, nobs: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """N simulated vectors of observations, some columns (nobs, b) at a time."""
    step = max(1, CELLS // max(nobs, 1))
    for start in range(0, n, step):
        yield simulator.draw(min(step, n - start), rng)


@dataclass(frozen=True, eq=False)
class Refits:
    """Fits of the model behind some results to other observations.

    Parameters
    ----------
    results : MetaMixedLMResults
    warm : bool
        Start from the components of the results.
    n_jobs : int
        Processes.
    """

    results: MetaMixedLMResults
    warm: bool = True
    n_jobs: int = 1

    @property
    def _start(self) -> Floats | None:
        """None where the search is full, or a component lies at infinity."""
        theta = self.results.fit_.theta
        return theta if self.warm and np.isfinite(theta).all() else None

    @property
    def _spec(self) -> ManySpec:
        fit = self.results.fit_
        return ManySpec(fit.problem, fit.reml, fit.weights, start=self._start)

    def observed(self, statistic: Statistic | str | None) -> pd.Series:
        """The statistics of the results themselves."""
        if callable(statistic):
            return _as_series(self._called(statistic))
        res = self.results
        at = np.asarray(res.params)[:, None], res.fit_.theta[:, None]
        return pd.Series(
            self._measure(statistic, *at)[0], index=self._names(statistic), name="estimate"
        )

    def _called(self, statistic: Statistic) -> Any:
        """What a statistic returns for the results themselves: where it fails, all refits would."""
        try:
            return statistic(self.results)
        except Exception as error:  # the caller's code
            raise SpecificationError(
                f"statistic= {_called_name(statistic)} raised {type(error).__name__}: {error}. It "
                f"was called with the results of the observed data, {_described(self.results)}; "
                "make it return a number, a vector or a Series for these before they are refitted"
            ) from error

    def _names(self, statistic: str | None) -> pd.Index:
        """Of what `_measure` computes."""
        if statistic == HETEROGENEITY:
            return pd.MultiIndex.from_tuples(self._spread.names, names=["measure", "of"])
        res, free = self.results, self._estimated
        labels = [name for name, f in zip(res.component_labels, free, strict=True) if f]
        return pd.Index([*res.params.index, *labels])

    def _measure(self, statistic: str | None, beta: Floats, theta: Floats) -> Floats:
        """Statistics (b, S) at coefficients (p, b) and components (C, b)."""
        if statistic == HETEROGENEITY:
            return np.array([self._spread.at(*x) for x in zip(beta.T, theta.T, strict=True)])
        return np.concatenate([beta, theta[self._estimated]]).T

    @cached_property
    def _spread(self) -> SpreadMeasures:
        return SpreadMeasures(self.results.fit_)

    @property
    def _estimated(self) -> Bools:
        return ~self.results.fit_.problem.fixed

    def statistics(
        self, y: Floats, statistic: Statistic | str | None, width: int
    ) -> tuple[Floats, Counter[str]]:
        """Statistics (b, S) of refits to y (n, b), NaN for failures; and what failed."""
        if not callable(statistic):
            fits = fit_many(self._spec, y, n_jobs=self.n_jobs)
            good = np.array([s.converged for s in fits.status])
            values = np.full((y.shape[1], width), np.nan)
            if good.any():
                values[good] = self._measure(statistic, fits.beta[:, good], fits.theta[:, good])
            bad = [fits.errors.get(i, fits.status[i].value) for i in np.flatnonzero(~good).tolist()]
            return values, Counter(bad)
        options = fit_options(self.results) | {"start": self._start}
        pieces = np.array_split(y, max(1, min(8 * self.n_jobs, y.shape[1])), axis=1)
        parts = [(self.results.model, piece, statistic, options) for piece in pieces]
        found = [one for part in run_jobs(_replicates, parts, self.n_jobs) for one in part]
        values = np.full((len(found), width), np.nan)
        failures: Counter[str] = Counter()
        for i, (value, reason) in enumerate(found):
            if reason:
                failures[reason] += 1
            elif len(value) != width:
                raise SpecificationError(
                    f"the statistic has {len(value)} values for a refit and {width} for the fit"
                )
            else:
                values[i] = value
        return values, failures


def fit_options(results: MetaMixedLMResults) -> dict[str, Any]:
    """Options of `MetaMixedLM.fit` that give results of this kind.

    Raises
    ------
    SpecificationError
        For cluster-robust results, whose clusters belong to a call of their own.
    """
    if results.cov_type in KINDS:
        raise SpecificationError(
            "a statistic is computed from results of fit(): start the bootstrap from the results "
            "with the model-based covariance, and call get_robustcov_results in the statistic"
        )
    out: dict[str, Any] = {"reml": results.reml, "cov_type": results.cov_type}
    if results.df_method == "given":
        return out | {"df": results.df_inference}
    if results.df_method == "z":
        return out
    return out | {"use_t": True, "df": results.df_method}


def _replicates(
    model: MetaMixedLM, y: Floats, statistic: Statistic, options: dict[str, Any]
) -> list[tuple[Floats, str]]:
    """Statistics of refits to the columns of y (n, b), each with the reason where there is none."""
    return [_replicate(model, column, statistic, options) for column in y.T]


def _replicate(
    model: MetaMixedLM, y: Floats, statistic: Statistic, options: dict[str, Any]
) -> tuple[Floats, str]:
    nothing = np.empty(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they would say is counted
        try:
            results = with_response(model, y).fit(**options)
        except MvmetaError as error:
            return nothing, str(error)
        if not results.converged:
            return nothing, results.status.value
        try:
            found = statistic(results)
        except Exception as error:  # the caller's code: it is counted, the other refits are kept
            return nothing, f"the statistic raised {type(error).__name__}: {error}"
    value = _as_series(found).to_numpy(dtype=float)
    return value, "" if np.isfinite(value).all() else "the statistic is not finite"


def with_response(model: MetaMixedLM, y: Floats) -> MetaMixedLM:
    """The model for other observations y (n,) in its rows, its plan shared."""
    other = type(model).__new__(type(model))
    problem = replace(model.prepared.problem, y=y)
    other._set_up(replace(model.prepared, problem=problem), model._backend_name)
    other.__dict__["_backend"] = model.backend.with_response(y)
    return other


def _called_name(statistic: Statistic) -> str:
    """What a function calls itself; other callables (a partial) have no name."""
    name = getattr(statistic, "__qualname__", None)
    return repr(statistic) if name is None else f"{name.rpartition('<locals>.')[2]}()"


def _described(results: MetaMixedLMResults) -> str:
    names = shorten(map(str, results.params.index))
    return f"a {type(results).__name__} of {results.nobs} rows with the coefficients {names}"


def _as_series(value: Any) -> pd.Series:
    """What a statistic returned, as labelled numbers."""
    if isinstance(value, pd.Series):
        series = value
    elif isinstance(value, dict):
        series = pd.Series(value)
    else:
        array = np.atleast_1d(np.asarray(value))
        if array.ndim != 1:
            raise SpecificationError(
                f"a statistic returns a number, a vector or a Series, got shape {array.shape}"
            )
        series = pd.Series(array, index=[f"statistic {i}" for i in range(len(array))])
    try:
        return series.astype(float)
    except (TypeError, ValueError):
        raise SpecificationError(f"a statistic returns numbers, got {value!r}") from None
