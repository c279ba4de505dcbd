"""Where the estimates of a fit come from, as methods of the results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from mvmeta.inference.components.rho import profile_rho
from mvmeta.model.diagnosis.diagnose import diagnose
from mvmeta.model.diagnosis.findings import Diagnosis
from mvmeta.model.evidence.evidence import Evidence
from mvmeta.model.evidence.studies import studies
from mvmeta.model.evidence.weight_sentences import notes_on_weights, weights_text
from mvmeta.model.evidence.weight_tables import contributions_frame, weights_frame
from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.model.sensitivity.rho import RhoEstimate, rho_estimate
from mvmeta.model.sensitivity.sensitivity import Options, Sensitivity, sensitivity
from mvmeta.model.testing.inference import Inference

if TYPE_CHECKING:
    from mvmeta.model.mixed import MetaMixedLM


class EvidenceMethods(FitHolder):
    """Mixin: where estimates come from, whether to believe them, and what they depend on."""

    model: MetaMixedLM
    _inference: Inference

    def weights(self, by: str = "row", groups: Any = None) -> pd.DataFrame:
        """How much rows and studies count, in percent.

        Parameters
        ----------
        by : {"row", "study", "coefficient"}
            "row": `diagonal` of inv(M) (or of the user's W) and `rowsum`, its row sums, which
            are what the rows weigh in the estimate of an intercept-only model (they may be
            negative) and NaN for other models; "study": their sums by study; "coefficient":
            the share each study has in the variance of each coefficient.
        groups : str or array_like of labels (n_given,), optional
            Studies; the first random term, or a coarser one it nests in, unless said.

        Returns
        -------
        DataFrame
            Every column in percent of its sum.  Where weights are negative, ``.attrs["notes"]``
            says why.

        Raises
        ------
        SpecificationError
            For another `by`.

        References
        ----------
        :doc:`/explanation/evidence`, "The numbers".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.weights(by="study").head(3).round(2)
                  diagonal  rowsum
        district
        11            2.15    6.76
        12            6.63    9.24
        18            4.03    8.54
        """
        prepared = self.model.prepared
        frame = weights_frame(self.fit_, prepared, by, groups)
        frame.attrs["notes"] = notes_on_weights(self.fit_, prepared, frame, by)
        return frame

    def weights_summary(self, by: str = "row", groups: Any = None) -> str:
        """`weights` as text, with a sentence on every kind of negative weight.

        Parameters
        ----------
        by, groups
            As in `weights`.

        Returns
        -------
        str

        Raises
        ------
        SpecificationError
            For another `by`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> print(res.weights_summary(by="study"))
               diagonal
        Study
        1         66.66
        2         33.34
        <BLANKLINE>
        In percent; sums over the rows of a study.
        The model has more than an intercept, so rows have no one weight (rowsum);
        contributions() has what each adds to each coefficient.
        """
        frame = self.weights(by, groups)
        return weights_text(frame, frame.attrs["notes"], by)

    def get_evidence(self, contrasts: Any = None, groups: Any = None) -> Evidence:
        """Joint and direct evidence with its reasons: `frame`, `sentences`, `summary()`.

        Parameters
        ----------
        contrasts, groups
            As in `evidence`.

        Returns
        -------
        Evidence

        Raises
        ------
        SpecificationError
            For a combination that cannot be read; says what can.

        References
        ----------
        :doc:`/explanation/evidence`, "The numbers".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> evidence = res.get_evidence()
        >>> print(evidence.sentences.iloc[2][:54])
        C is seen in 1 study of 2 (Study 1): its own rows alon
        """
        basis = self._inference.basis
        return Evidence(self.fit_, self.model.prepared, basis, contrasts, groups)

    def evidence(self, contrasts: Any = None, groups: Any = None) -> pd.DataFrame:
        """Where each estimate comes from: its own rows, or what is borrowed from others.

        Parameters
        ----------
        contrasts : str, list of str, dict of str to str, or array_like (m, p), optional
            None: the level means of every factor, then slopes; "pairwise": all differences of
            levels; text, a list of texts or weights (m, p), in units of the columns of the design,
            for other combinations.
        groups : str or array_like of labels (n_given,), optional
            Studies; the first random term, or a coarser one it nests in, unless said.

        Returns
        -------
        DataFrame
            Columns joint, joint_se, direct, direct_se (from the rows of that level alone, with
            the same components), shift (joint - direct), shift_se, shift_z, shift_p, borrowed
            (1 - var(joint) / var(direct)), n_rows, n_groups, weight_outside (sum of absolute
            contributions of other rows), within, between (shares of the precision).  NaN where
            there is no direct evidence, as for a slope.  Estimates, shifts and their standard
            errors are in units of the response (of slopes: per unit of the moderator), the rest
            without unit.

        Raises
        ------
        SpecificationError
            For a combination that cannot be read; says what can.

        References
        ----------
        :doc:`/explanation/evidence`, "The numbers".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> res.evidence()[["joint", "direct", "borrowed", "n_groups"]].round(4)
                       joint  direct  borrowed  n_groups
        Category[A]  10.0000    10.0    0.0000         2
        Category[B]  15.0000    15.0    0.0000         2
        Category[C]  19.9975    10.0    0.4996         1
        """
        return self.get_evidence(contrasts, groups).frame

    def evidence_summary(self, contrasts: Any = None, groups: Any = None) -> str:
        """`evidence` as a table with one plain sentence for each row.

        Parameters
        ----------
        contrasts, groups
            As in `evidence`.

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
        >>> print(res.evidence_summary("C(Category)[C]"))
                                      Where the estimates come from
        ==========================================================================================
                          joint    (se) direct    (se)    shift      P borrowed within rows groups
        C(Category)[C]  19.9975  10.005     10  14.1439  9.9975  0.317      50%     0%    1      1
        ==========================================================================================
        - C(Category)[C] is seen in 1 study of 2 (Study 1): its own rows alone give
          10, all rows together 19.9975, a shift of +9.9975, because the effects of
          Study 1 in A and B lie about 10 below average; 50 % of what is known about
          C(Category)[C] is borrowed from other rows.
        <BLANKLINE>
        Share of each study in what is known, and its signed weight:
        - C(Category)[C]: Study 1 50 % (+0.50), Study 2 50 % (+0.50)
        """
        return self.get_evidence(contrasts, groups).summary()

    def contributions(self, by: str = "row", groups: Any = None) -> pd.DataFrame:
        """What each row adds to each coefficient: H with params = H y.

        Parameters
        ----------
        by : {"row", "study"}
        groups : str or array_like of labels (n_given,), optional
            Studies, as in `evidence`.

        Returns
        -------
        DataFrame
            Coefficients by rows (weights of y), or by studies (their sums); without unit, of slopes
            in one over the unit of the moderator.

        References
        ----------
        :doc:`/explanation/evidence`, "The numbers".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> res.contributions().round(2) + 0.0
                           0     1    2     3     4
        C(Category)[A]  0.50  0.00  0.0  0.50  0.00
        C(Category)[B]  0.00  0.50  0.0  0.00  0.50
        C(Category)[C] -0.25 -0.25  1.0  0.25  0.25
        """
        return contributions_frame(self.fit_, self.model.prepared, by, groups)

    # -- whether to believe it -----------------------------------------------------------

    def diagnose(self, groups: Any = None, refit: bool | None = None) -> Diagnosis:
        """What a careful statistician would say of this fit.

        Parameters
        ----------
        groups : str or array_like of labels (n_given,), optional
            Studies, as in `evidence`.
        refit : bool, optional
            Whether other models may be fitted for it, at most five; unless said, up to 20,000
            rows, and to 500,000 with nested random intercepts.  What is not looked at is
            listed as such.

        Returns
        -------
        Diagnosis
            Prints as text; `codes`, `to_frame()`, and each finding by its code: what was found,
            the numbers, why it matters, what to try.

        Raises
        ------
        DataError
            If the groups do not fit the rows, or after `remove_data`.

        References
        ----------
        :doc:`/explanation/diagnosis`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> found = res.diagnose()
        >>> found.codes
        ['level-in-one-study', 'few-studies']
        >>> print(found["few-studies"].what)
        There are 2 studies, few for the tests that were chosen.
        """
        return diagnose(self, groups, refit)  # type: ignore[arg-type]

    def sensitivity(
        self,
        rho: Any = True,
        structures: Any = True,
        inference: Any = True,
        leave_out: Any = True,
        *,
        contrasts: Any = None,
        beyond: float | None = None,
        alpha: float = 0.05,
        groups: Any = None,
        category: str | None = None,
    ) -> Sensitivity:
        """Every coefficient under other assumptions, and which conclusions change.

        Parameters
        ----------
        rho : sequence of float, "estimate", True or False
            Correlation of sampling errors within a study: V is replaced by one with the same
            variances and this correlation.  True: 0, 0.2, 0.4, 0.6, 0.8; "estimate": where the
            likelihood is largest, with its interval (see `estimate_rho`).
        structures : sequence of {"none", "study", "row", "study/row", "CS", "UN"}, True or False
            Other random effects, instead of those of the model; CS and UN correlate the levels
            of a factor within a study.
        inference : sequence of str, True or False
            "z", "t contain", "satterthwaite", "kenward-roger", "CR2": the same estimates with
            other standard errors and degrees of freedom.
        leave_out : True, False or "all"
            Everything fitted again without each study; above 100 studies only with "all".
        contrasts : optional
            Combinations to follow instead of the coefficients: "means" for the level means of
            factors, or as in `evidence`.
        beyond : float, optional
            Size of an effect that matters, in units of the response: it is flagged where
            ``abs(estimate) >= beyond`` holds under one setting and not in the fit.
        alpha : float
            1 - coverage of the intervals.
        groups : str or array_like of labels (n_given,), optional
            Studies, as in `evidence`.
        category : str, optional
            Factor of CS and UN; the first of the formula unless said.

        Returns
        -------
        Sensitivity
            `frame` (tidy), `changes`, `summary()`, `plot()`; what could not be tried is in
            `skipped`.

        Raises
        ------
        SpecificationError
            For options that do not exist, or if nothing is varied.
        DataError
            If the groups do not fit the rows, or after `remove_data`.

        References
        ----------
        :doc:`/explanation/sensitivity`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> found = res.sensitivity(leave_out=False, rho=False)
        >>> found.frame.loc[found.frame["setting"] == "no random effects"].iloc[:, :4]
              aspect            setting     coefficient  estimate
        3  structure  no random effects  C(Category)[A]      10.0
        4  structure  no random effects  C(Category)[B]      15.0
        5  structure  no random effects  C(Category)[C]      10.0
        """
        _ = self.fit_  # the rows are needed
        options = Options(
            rho, structures, inference, leave_out, beyond, alpha, contrasts, groups, category
        )
        return sensitivity(self, options)  # type: ignore[arg-type]

    def estimate_rho(
        self, groups: Any = None, alpha: float = 0.05, bounds: tuple[float, float] | None = None
    ) -> RhoEstimate:
        """What the data say about the correlation of sampling errors within a study.

        The likelihood is maximised over rho in ``V(rho) = D^(1/2) R(rho) D^(1/2)``, D the
        sampling variances and R with rho between rows of a study, and over all components.

        Parameters
        ----------
        groups : str or array_like of labels (n_given,), optional
            Studies, as in `evidence`.
        alpha : float
            1 - coverage of the profile likelihood interval.
        bounds : tuple of float, optional
            Range of rho, two correlations; all that is possible unless said.

        Returns
        -------
        RhoEstimate
            Prints as a sentence, which also says where the likelihood is flat.

        Raises
        ------
        DataError
            If no study has two rows.
        CovarianceError
            For bounds that are not possible.

        References
        ----------
        :doc:`/explanation/sensitivity`, "The correlation within studies".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("assink2016")
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="study/esid")
        >>> found = model.fit().estimate_rho(bounds=(0, 0.9))
        >>> [round(float(x), 2) for x in (found.estimate, found.lower, found.upper)]
        [0.52, 0.0, 0.9]
        """
        at = studies(self.model.prepared, groups)
        found = profile_rho(self.fit_, at.code, alpha, bounds)
        return rho_estimate(found, alpha, at.noun(1))
