"""What one effect size says as another: differences as correlations, odds ratios as risks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, ndtr, ndtri
from scipy.special import logit as _logit

from mvmeta.transf.arrays import Array, floats, inside


def dtou1(xi: ArrayLike) -> Array:
    """Cohen's U1 of the standardized mean difference xi, the share of non-overlap.

    (2 Phi(a/2) - 1) / Phi(a/2) with a the absolute value of xi (Cohen, 1988).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Share of both groups that does not overlap, from 0 to 1, of the broadcast shape.

    References
    ----------
    .. [1] Cohen J (1988). *Statistical Power Analysis for the Behavioral Sciences*, 2nd ed.
       Lawrence Erlbaum.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtou1(0.5).round(4).item()
    0.3297
    """
    half = ndtr(np.abs(floats(xi)) / 2)
    return (2 * half - 1) / half


def dtou2(xi: ArrayLike) -> Array:
    """Cohen's U2 of the standardized mean difference xi, Phi(xi/2) (Cohen, 1988).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Share of group 1 that exceeds the same share of group 2, of the broadcast shape.

    References
    ----------
    .. [1] Cohen J (1988). *Statistical Power Analysis for the Behavioral Sciences*, 2nd ed.
       Lawrence Erlbaum.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtou2(0.5).round(4).item()
    0.5987
    """
    return ndtr(floats(xi) / 2)


def dtou3(xi: ArrayLike) -> Array:
    """Cohen's U3, the share of group 1 above the mean of group 2, Phi(xi) (Cohen, 1988).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Share of group 1, from 0 to 1, of the broadcast shape.

    References
    ----------
    .. [1] Cohen J (1988). *Statistical Power Analysis for the Behavioral Sciences*, 2nd ed.
       Lawrence Erlbaum.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtou3(0.5).round(4).item()
    0.6915
    """
    return ndtr(floats(xi))


def dtocles(xi: ArrayLike) -> Array:
    """Probability of superiority (common language effect size), Phi(xi / sqrt 2).

    McGraw & Wong (1992).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Probability, of the broadcast shape.

    References
    ----------
    .. [1] McGraw KO, Wong SP (1992). A common language effect size statistic. *Psychological
       Bulletin* 111:361–365. doi:10.1037/0033-2909.111.2.361

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtocles(0.5).round(4).item()
    0.6382
    """
    return ndtr(floats(xi) / np.sqrt(2))


def dtocliffd(xi: ArrayLike) -> Array:
    """Cliff's delta of the standardized mean difference xi, 2 Phi(xi / sqrt 2) - 1.

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Cliff's delta, of the broadcast shape.

    References
    ----------
    .. [1] Cliff N (1993). Dominance statistics: ordinal analyses to answer ordinal questions.
       *Psychological Bulletin* 114:494–509. doi:10.1037/0033-2909.114.3.494
    .. [2] McGraw KO, Wong SP (1992). A common language effect size statistic. *Psychological
       Bulletin* 111:361–365. doi:10.1037/0033-2909.111.2.361

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtocliffd(0.5).round(4).item()
    0.2763
    """
    return 2 * dtocles(xi) - 1


def dtoovl(xi: ArrayLike) -> Array:
    """Overlap of two normal distributions a standardized difference xi apart, 2 Phi(-a/2).

    a is the absolute value of xi (Inman & Bradley, 1989).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Overlapping coefficient, a share, of the broadcast shape.

    References
    ----------
    .. [1] Inman HF, Bradley EL (1989). The overlapping coefficient as a measure of agreement
       between probability distributions and point estimation of the overlap of two normal
       densities. *Communications in Statistics: Theory and Methods* 18:3851–3874.
       doi:10.1080/03610928908830127

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtoovl(0.5).round(4).item()
    0.8026
    """
    return 2 * ndtr(-np.abs(floats(xi)) / 2)


def dtorpb(xi: ArrayLike, n1i: ArrayLike | None = None, n2i: ArrayLike | None = None) -> Array:
    """Point-biserial correlation of the standardized mean difference xi, xi / sqrt(xi^2 + h).

    h = (n1i+n2i-2) (1/n1i + 1/n2i), or 4 where the group sizes are not given.

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.
    n1i : array_like, optional
        Size of group 1.
    n2i : array_like, optional
        Size of group 2.

    Returns
    -------
    ndarray
        Correlation, of the broadcast shape.

    References
    ----------
    .. [1] Jacobs P, Viechtbauer W (2017). Estimation of the biserial correlation and its sampling
       variance for use in meta-analysis. *Research Synthesis Methods* 8:161–180.
       doi:10.1002/jrsm.1218

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtorpb(0.5).round(4).item()
    0.2425
    """
    d = floats(xi)
    return d / np.sqrt(d**2 + _spread(n1i, n2i))


def rpbtod(xi: ArrayLike, n1i: ArrayLike | None = None, n2i: ArrayLike | None = None) -> Array:
    """Inverse of `dtorpb`, xi sqrt(h / (1 - xi^2)); infinite at -1 and 1.

    Parameters
    ----------
    xi : array_like
        Point-biserial correlation.
    n1i : array_like, optional
        Size of group 1.
    n2i : array_like, optional
        Size of group 2.

    Returns
    -------
    ndarray
        Standardized mean difference, of the broadcast shape.

    References
    ----------
    See :func:`dtorpb`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.rpbtod(0.2425).round(4).item()
    0.4999
    """
    r = inside(floats(xi), -1, 1)
    with np.errstate(divide="ignore"):
        return r * np.sqrt(_spread(n1i, n2i) / (1 - r**2))


def _spread(n1i: ArrayLike | None, n2i: ArrayLike | None) -> Any:
    """The h of `dtorpb`."""
    if n1i is None or n2i is None:
        return 4.0
    n1, n2 = floats(n1i), floats(n2i)
    return (n1 + n2 - 2) * (1 / n1 + 1 / n2)


def rpbtorbis(xi: ArrayLike, pi: ArrayLike = 0.5) -> Array:
    """Biserial correlation of the point-biserial one, the share pi of people in group 1.

    xi sqrt(pi (1-pi)) / f with f the normal density at the quantile of pi (Jacobs & Viechtbauer,
    2017).

    Parameters
    ----------
    xi : array_like
        Point-biserial correlation.
    pi : array_like
        Share of people in group 1.

    Returns
    -------
    ndarray
        Biserial correlation, of the broadcast shape.

    References
    ----------
    .. [1] Jacobs P, Viechtbauer W (2017). Estimation of the biserial correlation and its sampling
       variance for use in meta-analysis. *Research Synthesis Methods* 8:161–180.
       doi:10.1002/jrsm.1218

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.rpbtorbis(0.3, 0.2).round(4).item()
    0.4286
    """
    return floats(xi) * _biserial(pi)


def rtorpb(xi: ArrayLike, pi: ArrayLike = 0.5) -> Array:
    """Inverse of `rpbtorbis`: what dichotomizing one of two normal variables leaves of xi.

    Parameters
    ----------
    xi : array_like
        Correlation of two normal variables.
    pi : array_like
        Share of people in group 1.

    Returns
    -------
    ndarray
        Point-biserial correlation, of the broadcast shape.

    References
    ----------
    See :func:`rpbtorbis`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.rtorpb(0.4286, 0.2).round(4).item()
    0.3
    """
    return floats(xi) / _biserial(pi)


def _biserial(pi: ArrayLike) -> Any:
    """What a point-biserial correlation is multiplied by."""
    p = inside(floats(pi), 0, 1)
    density = np.exp(-(ndtri(p) ** 2) / 2) / np.sqrt(2 * np.pi)
    return np.sqrt(p * (1 - p)) / density


def dtorbis(xi: ArrayLike, n1i: ArrayLike | None = None, n2i: ArrayLike | None = None) -> Array:
    """Biserial correlation of the standardized mean difference xi: `rpbtorbis` of `dtorpb`.

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.
    n1i : array_like, optional
        Size of group 1.
    n2i : array_like, optional
        Size of group 2.

    Returns
    -------
    ndarray
        Biserial correlation, of the broadcast shape.

    References
    ----------
    .. [1] Jacobs P, Viechtbauer W (2017). Estimation of the biserial correlation and its sampling
       variance for use in meta-analysis. *Research Synthesis Methods* 8:161–180.
       doi:10.1002/jrsm.1218

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtorbis(0.5, 20, 30).round(4).item()
    0.3075
    """
    return rpbtorbis(dtorpb(xi, n1i, n2i), _share(n1i, n2i))


def rtod(xi: ArrayLike, n1i: ArrayLike | None = None, n2i: ArrayLike | None = None) -> Array:
    """Inverse of `dtorbis`: the standardized difference when a variable is dichotomized.

    Parameters
    ----------
    xi : array_like
        Correlation of two normal variables.
    n1i : array_like, optional
        Size of group 1.
    n2i : array_like, optional
        Size of group 2.

    Returns
    -------
    ndarray
        Standardized mean difference, of the broadcast shape.

    References
    ----------
    See :func:`dtorbis`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.rtod(0.3, 20, 30).round(4).item()
    0.487
    """
    return rpbtod(rtorpb(xi, _share(n1i, n2i)), n1i, n2i)


def _share(n1i: ArrayLike | None, n2i: ArrayLike | None) -> Any:
    """Share of people in group 1."""
    if n1i is None or n2i is None:
        return 0.5
    return floats(n1i) / (floats(n1i) + floats(n2i))


def dtobesd(xi: ArrayLike) -> Array:
    """Binomial effect size display of xi: the share of group 1 above the median, 1/2 + r/2.

    r = xi / sqrt(xi^2 + 4) (Rosenthal & Rubin, 1982).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Share of group 1, from 0 to 1, of the broadcast shape.

    References
    ----------
    .. [1] Rosenthal R, Rubin DB (1982). A simple, general purpose display of magnitude of
       experimental effect. *Journal of Educational Psychology* 74:166–169.
       doi:10.1037/0022-0663.74.2.166

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtobesd(0.5).round(4).item()
    0.6213
    """
    return 0.5 + dtorpb(xi) / 2


def dtomd(xi: ArrayLike, sd: ArrayLike) -> Array:
    """Mean difference of a standardized one, xi times the standard deviation sd.

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.
    sd : array_like
        Standard deviation, in the unit of the outcome.

    Returns
    -------
    ndarray
        Mean difference, in the unit of `sd`, of the broadcast shape.

    References
    ----------
    .. [1] Hedges LV (1981). Distribution theory for Glass's estimator of effect size and related
       estimators. *Journal of Educational Statistics* 6:107–128. doi:10.3102/10769986006002107

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtomd(0.5, 12).round(4).item()
    6.0
    """
    return floats(xi) * floats(sd)


def logortord(xi: ArrayLike, pc: ArrayLike) -> Array:
    """Risk difference of the log odds ratio xi at the control group's risk pc.

    Parameters
    ----------
    xi : array_like
        Log odds ratio.
    pc : array_like
        Risk in the control group, between 0 and 1.

    Returns
    -------
    ndarray
        Risk difference, of the broadcast shape.

    References
    ----------
    .. [1] Higgins JPT, Thomas J, Chandler J, Cumpston M, Li T, Page MJ, Welch VA (eds) (2019).
       *Cochrane Handbook for Systematic Reviews of Interventions*, 2nd ed. Wiley.
    .. [2] Zhang J, Yu KF (1998). What's the relative risk? A method of correcting the odds ratio in
       cohort studies of common outcomes. *JAMA* 280:1690–1691. doi:10.1001/jama.280.19.1690

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.logortord(-0.5, 0.3).round(4).item()
    -0.0937
    """
    return expit(_logit(floats(pc)) + floats(xi)) - floats(pc)


def logortorr(xi: ArrayLike, pc: ArrayLike) -> Array:
    """Risk ratio of the log odds ratio xi at the control group's risk pc.

    Parameters
    ----------
    xi : array_like
        Log odds ratio.
    pc : array_like
        Risk in the control group, between 0 and 1.

    Returns
    -------
    ndarray
        Risk ratio, of the broadcast shape.

    References
    ----------
    .. [1] Zhang J, Yu KF (1998). What's the relative risk? A method of correcting the odds ratio in
       cohort studies of common outcomes. *JAMA* 280:1690–1691. doi:10.1001/jama.280.19.1690

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.logortorr(-0.5, 0.3).round(4).item()
    0.6877
    """
    return expit(_logit(floats(pc)) + floats(xi)) / floats(pc)


def lnortord(xi: ArrayLike, pc: ArrayLike) -> Array:
    """Risk difference of the log odds ratio xi: `logortord` under metafor's newer name.

    Parameters
    ----------
    xi : array_like
        Log odds ratio.
    pc : array_like
        Risk in the control group.

    Returns
    -------
    ndarray
        Risk difference, of the broadcast shape.

    References
    ----------
    See :func:`logortord`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.lnortord(-0.5, 0.3).round(4).item()
    -0.0937
    """
    return logortord(xi, pc)


def lnortorr(xi: ArrayLike, pc: ArrayLike) -> Array:
    """Risk ratio of the log odds ratio xi: `logortorr` under metafor's newer name.

    Parameters
    ----------
    xi : array_like
        Log odds ratio.
    pc : array_like
        Risk in the control group.

    Returns
    -------
    ndarray
        Risk ratio, of the broadcast shape.

    References
    ----------
    See :func:`logortorr`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.lnortorr(-0.5, 0.3).round(4).item()
    0.6877
    """
    return logortorr(xi, pc)


def lnortod_logis(xi: ArrayLike) -> Array:
    """Standardized mean difference of the log odds ratio xi, logistic: xi sqrt(3) / pi.

    Chinn (2000).

    Parameters
    ----------
    xi : array_like
        Log odds ratio.

    Returns
    -------
    ndarray
        Standardized mean difference, of the broadcast shape.

    References
    ----------
    .. [1] Chinn S (2000). A simple method for converting an odds ratio to effect size for use in
       meta-analysis. *Statistics in Medicine* 19:3127–3131.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.lnortod_logis(0.9069).round(4).item()
    0.5
    """
    return floats(xi) * np.sqrt(3) / np.pi


def lnortod_norm(xi: ArrayLike) -> Array:
    """Standardized mean difference of the log odds ratio xi, normal: xi / 1.65.

    Cox & Snell (1989).

    Parameters
    ----------
    xi : array_like
        Log odds ratio.

    Returns
    -------
    ndarray
        Standardized mean difference, of the broadcast shape.

    References
    ----------
    .. [1] Cox DR, Snell EJ (1989). *Analysis of Binary Data*, 2nd ed. Chapman & Hall.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.lnortod_norm(0.825).round(4).item()
    0.5
    """
    return floats(xi) / 1.65


def dtolnor_logis(xi: ArrayLike) -> Array:
    """Inverse of `lnortod_logis`, xi pi / sqrt(3).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Log odds ratio, of the broadcast shape.

    References
    ----------
    See :func:`lnortod_logis`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtolnor_logis(0.5).round(4).item()
    0.9069
    """
    return floats(xi) * np.pi / np.sqrt(3)


def dtolnor_norm(xi: ArrayLike) -> Array:
    """Inverse of `lnortod_norm`, 1.65 xi.

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Log odds ratio, of the broadcast shape.

    References
    ----------
    See :func:`lnortod_norm`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtolnor_norm(0.5).round(4).item()
    0.825
    """
    return floats(xi) * 1.65


def lnortortet_pearson(xi: ArrayLike) -> Array:
    """Tetrachoric correlation of the log odds ratio xi, roughly: cos(pi / (1 + exp(xi / 2))).

    Pearson (1900).

    Parameters
    ----------
    xi : array_like
        Log odds ratio.

    Returns
    -------
    ndarray
        Correlation, of the broadcast shape.

    References
    ----------
    .. [1] Pearson K (1900). Mathematical contributions to the theory of evolution. VII. On the
       correlation of characters not quantitatively measurable. *Philosophical Transactions of the
       Royal Society of London A* 195:1–47.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.lnortortet_pearson(1.2).round(4).item()
    0.4418
    """
    return np.cos(np.pi * expit(-floats(xi) / 2))


def lnortortet_digby(xi: ArrayLike) -> Array:
    """Tetrachoric correlation of the log odds ratio xi, roughly: tanh(3 xi / 8).

    (OR^(3/4) - 1) / (OR^(3/4) + 1) (Digby, 1983).

    Parameters
    ----------
    xi : array_like
        Log odds ratio.

    Returns
    -------
    ndarray
        Correlation, of the broadcast shape.

    References
    ----------
    .. [1] Digby PGN (1983). Approximating the tetrachoric correlation coefficient. *Biometrics*
       39:753–757. doi:10.2307/2531104

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.lnortortet_digby(1.2).round(4).item()
    0.4219
    """
    return np.tanh(3 * floats(xi) / 8)
