"""Where the estimates of a fit come from, labelled and in words."""

from __future__ import annotations

import html
import textwrap
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.inference.borrowing.contributions import group_sums, variance_shares
from mvmeta.inference.borrowing.evidence import evidence
from mvmeta.inference.coefficients.wald import Basis
from mvmeta.inference.fitted.fit import Fit
from mvmeta.model.evidence.families import families
from mvmeta.model.evidence.sentences import carried, number, percent_cell, sentence
from mvmeta.model.evidence.studies import ROW, studies
from mvmeta.model.evidence.targets import contrast_targets, default_targets
from mvmeta.model.evidence.weight_tables import labelled_contributions
from mvmeta.model.specification.build import Prepared

COLUMNS = (
    "joint",
    "joint_se",
    "direct",
    "direct_se",
    "shift",
    "shift_se",
    "shift_z",
    "shift_p",
    "borrowed",
    "n_rows",
    "n_groups",
    "weight_outside",
    "within",
)
"""Columns of the table that come as they are from `borrowing.evidence.EvidenceTable`."""

DISPLAYED = {
    "joint": "joint",
    "(se)": "joint_se",
    "direct": "direct",
    "(se) ": "direct_se",
    "shift": "shift",
}
"""Columns of the text, and what is in them."""

WIDTH = 78
"""Columns of the text."""

SAME_COV = 1e-6
"""Difference, relative to the largest, of covariances that are the same but for rounding."""

MODEL_SE = (
    "Standard errors are those of the model, so that joint and direct can be compared; the tests "
    "of the fit have others (robust, adjusted or scaled)."
)
"""Said where the fit does not test with the covariance of the model."""


class Evidence:
    """Where the estimates of a fit come from.

    Parameters
    ----------
    fit : Fit
    prepared : Prepared
    basis : Basis
        Of the tests of the fit: its degrees of freedom are those of the shifts.
    contrasts : str, list of str, dict of str to str, or array_like (m, p), optional
        None: every level mean of the factors of the formula, in one table that does not depend
        on their coding, then every slope.  "pairwise": all differences of the levels of a
        factor.  Text such as "Category[C] - Category[A]" in these names or in those of the
        coefficients, a list of texts, a dict from labels to texts, or weights of the
        coefficients (m, p), in units of the columns of the design.
    groups : str or array_like of labels (n_given,), optional
        What a study is; the outermost grouping of the model unless said.

    Attributes
    ----------
    frame : DataFrame
        One row per estimate: `joint, joint_se` from all rows; `direct, direct_se` from its own
        rows alone, with the same components; `shift` (joint - direct) with `shift_se`,
        `shift_z` and `shift_p`; `borrowed`, 1 - var(joint) / var(direct); `n_rows` and
        `n_groups`, the own rows and the studies they are in; `weight_outside`, the sum of the
        absolute contributions of all other rows; `within` and `between`, the shares of the
        information that are in comparisons within and between studies.  Standard errors are
        those of the model, whatever `cov_type` the fit has.  Estimates, shifts and their standard
        errors are in units of the response (of slopes: per unit of the moderator), the rest are
        counts, shares of 1, tests and numbers without unit.
    reasons : Series of str
        Why there is no direct estimate; empty where there is one.
    sentences : Series of str
        The table in words.
    notes : list of str
        That the fit tests with other standard errors, where it does.

    Notes
    -----
    The own rows of a level mean are the rows of that level.  The mean of a level is taken over
    the levels of the other factors in equal parts and at the average of numeric moderators, so
    with other moderators its own rows may not determine it: `direct` is NaN then.  The own rows
    of a comparison of levels are those of its levels in the studies that observe all of them.
    A slope has none, as every row informs it, and neither has a combination of coefficients
    that is not one of level means of a single factor or interaction.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> toy = datasets.load("toy")
    >>> formula = "d ~ C(Category) - 1"
    >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
    >>> res = model.fit()
    >>> evidence = res.get_evidence()
    >>> evidence.frame["joint"].round(2)
    Category[A]    10.0
    Category[B]    15.0
    Category[C]    20.0
    Name: joint, dtype: float64
    """

    def __init__(
        self,
        fit: Fit,
        prepared: Prepared,
        basis: Basis,
        contrasts: Any = None,
        groups: Any = None,
    ) -> None:
        self._index = prepared.index
        self._studies = studies(prepared, groups)
        found = families(prepared)
        if contrasts is None:
            targets = default_targets(prepared, found)
        else:
            targets = contrast_targets(prepared, found, contrasts, self._studies.code)
        labels = pd.Index([t.label for t in targets])
        rows = np.array([t.row for t in targets]).reshape(len(targets), fit.problem.p)
        at = evidence(fit, basis.df, rows, [t.direct for t in targets], self._studies.code)
        self.frame = pd.DataFrame({c: getattr(at, c) for c in COLUMNS}, index=labels)
        self.frame["between"] = 1.0 - self.frame["within"]
        self._fit, self._h = fit, at.contributions
        gap, size = np.abs(basis.cov - fit.cov_beta).max(), np.abs(fit.cov_beta).max()
        self.notes = [] if gap <= SAME_COV * size else [MODEL_SE]
        self._short = [t.short for t in targets]
        nothing = {True: "its own rows do not determine it", False: ""}
        reasons = [
            t.reason or nothing[bool(np.isnan(d))] for t, d in zip(targets, at.direct, strict=True)
        ]
        self.reasons = pd.Series(reasons, index=labels, name="reason")
        numbers = self.frame.assign(others=at.others).to_dict("records")
        self.sentences = pd.Series(
            [sentence(t, r, self._studies) for t, r in zip(targets, numbers, strict=True)],
            index=labels,
            name="sentence",
        )

    def contributions(self, by: str = "row") -> pd.DataFrame:
        """Signed contributions: the estimate is their sum, each times the observed effect.

        Parameters
        ----------
        by : {"row", "study"}
            Rows of the data, or their sums over studies.

        Returns
        -------
        DataFrame
            One row per estimate, one column per row or study; without unit, of slopes in one over
            the unit of the moderator.

        Raises
        ------
        SpecificationError
            For another `by`.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.contributions`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> evidence = res.get_evidence()
        >>> evidence.contributions().round(2) + 0.0
                        0     1    2     3     4
        Category[A]  0.50  0.00  0.0  0.50  0.00
        Category[B]  0.00  0.50  0.0  0.00  0.50
        Category[C] -0.25 -0.25  1.0  0.25  0.25
        """
        return labelled_contributions(self._h, self.frame.index, self._index, self._studies, by)

    def carriers(self) -> pd.DataFrame:
        """Which studies carry each estimate.

        Returns
        -------
        DataFrame
            Index (estimate, study); `share`, the study's share (of 1) of the variance of the
            estimate, which for independent studies is its share of the information: they sum to 1;
            `contribution`, the signed weight of its rows together, in the unit of `contributions`.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.get_evidence`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> evidence = res.get_evidence()
        >>> evidence.carriers().loc["Category[C]"].round(2)
               share  contribution
        Study
        1        0.5           0.5
        2        0.5           0.5
        """
        shares = variance_shares(self._fit, self._h, self._studies.code)
        sums = group_sums(self._h, self._studies.code)
        names = ["estimate", self._studies.name]
        index = pd.MultiIndex.from_product([self.frame.index, self._studies.labels], names=names)
        columns = {"share": shares.ravel(), "contribution": sums.ravel()}
        return pd.DataFrame(columns, index=index)

    def summary(self) -> str:
        """The table, one sentence per estimate, and who carries it, as text.

        Returns
        -------
        str

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> evidence = res.get_evidence()
        >>> print(evidence.summary())
                                     Where the estimates come from
        ========================================================================================
                       joint     (se) direct    (se)    shift      P borrowed within rows groups
        Category[A]       10  10.0012     10  10.0012       0              0%     0%    2      2
        Category[B]       15  10.0012     15  10.0012       0              0%     0%    2      2
        Category[C]  19.9975   10.005     10  14.1439  9.9975  0.317      50%     0%    1      1
        ========================================================================================
        - A is seen in 2 studies of 2: its own rows alone give 10, and no other row
          changes that.
        - B is seen in 2 studies of 2: its own rows alone give 15, and no other row
          changes that.
        - C is seen in 1 study of 2 (Study 1): its own rows alone give 10, all rows
          together 19.9975, a shift of +9.9975, because the effects of Study 1 in A
          and B lie about 10 below average; 50 % of what is known about C is borrowed
          from other rows.
        <BLANKLINE>
        Share of each study in what is known, and its signed weight:
        - A: Study 1 50 % (+0.50), Study 2 50 % (+0.50)
        - B: Study 1 50 % (+0.50), Study 2 50 % (+0.50)
        - C: Study 1 50 % (+0.50), Study 2 50 % (+0.50)
        """
        body = self._display().to_string()
        width = max(WIDTH, *(len(line) for line in body.split("\n")))
        lines = [
            textwrap.fill(
                s, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False
            )
            for s in self.sentences
        ]
        title = "Where the estimates come from".center(width).rstrip()
        rule = "=" * width
        notes = [text for note in self.notes for text in ("", textwrap.fill(note, WIDTH))]
        return "\n".join([title, rule, body, rule, *lines, *self._carried(), *notes])

    def _carried(self) -> list[str]:
        """Lines that name the studies with the largest shares."""
        if self._studies.name == ROW or self._studies.count < 2:
            return []
        found = self.carriers().to_numpy().reshape(len(self.frame), self._studies.count, 2)
        return [
            "",
            f"Share of each {self._studies.noun(1)} in what is known, and its signed weight:",
            *(
                textwrap.fill(
                    carried(name, share, weight, self._studies),
                    WIDTH,
                    initial_indent="- ",
                    subsequent_indent="  ",
                    break_long_words=False,
                )
                for name, (share, weight) in zip(self._short, found.transpose(0, 2, 1), strict=True)
            ),
        ]

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(s)}</li>" for s in self.sentences)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"{self._display().to_html()}<ul>{items}</ul>{notes}"

    def _display(self) -> pd.DataFrame:
        f = self.frame
        columns = {
            name: [number(v, se) for v, se in zip(f[column], f["joint_se"], strict=True)]
            for name, column in DISPLAYED.items()
        }
        columns |= {
            "P": ["" if np.isnan(p) else f"{p:.3f}" for p in f["shift_p"]],
            "borrowed": [percent_cell(v) for v in f["borrowed"]],
            "within": [percent_cell(v) for v in f["within"]],
            "rows": list(map(str, f["n_rows"])),
            "groups": list(map(str, f["n_groups"])),
        }
        return pd.DataFrame(columns, index=f.index)
