"""The report as a method of the results (extra "report")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mvmeta.errors import MvmetaError


def writer() -> Callable[..., str | Path]:
    """The function that writes reports.

    Raises
    ------
    MvmetaError
        If jinja2 is not installed.
    """
    try:
        from mvmeta.report import write_report
    except ImportError as error:
        raise MvmetaError(
            'a report needs jinja2, which is not installed: pip install "mvmeta[report]"'
        ) from error
    return write_report


class ReportMethods:
    """Mixin: ``report``."""

    def report(
        self,
        path: str | Path | None = None,
        *,
        title: str | None = None,
        question: str | None = None,
        plots: str | Sequence[str] | None = None,
        transform: Callable[[Any], Any] | str | None = None,
        alpha: float = 0.05,
    ) -> str | Path:
        """Everything about a fit as one HTML page.

        The page has the result in sentences, an overview of the data, the model in words and as
        formulas, estimates, heterogeneity, plots, the findings of `diagnose`, a paragraph for the
        methods section with its references, the code and data that repeat the analysis, and the
        versions of the software.  It needs no network and no script, follows the dark mode of
        the reader, can be printed, and is the same for the same fit.

        Parameters
        ----------
        path : str or Path, optional
            File to write; one that is there is replaced.  Without it the page is returned.
        title : str, optional
            Heading.
        question : str, optional
            What the analysis is to answer; worded from the formula unless given.
        plots : str or list of str, optional
            Functions of `mvmeta.plots` by name, such as ["forest", "funnel"]; [] for none.
            Unless given those that suit the fit: forest and funnel for any, orchard and evidence
            for factors, bubble for numeric moderators, heterogeneity, caterpillar and (up to 200
            rows) influence for random effects.  Of thousands of rows, marks become an image
            within the plot.
        transform : callable or str, optional
            Another scale for forest, orchard and bubble plots and a further table of
            coefficients, such as ``np.exp`` for log odds ratios; also a name that
            `transformation` knows, such as "back" for the way back from effect sizes of `escalc`.
        alpha : float
            1 - coverage of all intervals.

        Returns
        -------
        Path or str
            The file, or the page where there is no `path`.

        Raises
        ------
        MvmetaError
            If jinja2, or matplotlib for plots that were asked for, is not installed.
        SpecificationError
            For a plot that there is not, or that does not suit the fit, and an unknown `transform`.
        DataError
            After `remove_data`, and for plots of rows that came in batches.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> schools = datasets.load("konstantopoulos2011")
        >>> res = MetaMixedLM.from_formula(
        ...     "yi ~ 1", schools, variance="vi", groups="district/school"
        ... ).fit()
        >>> page = res.report(plots=[])
        >>> "The mean of yi is 0.185" in page
        True
        """
        return writer()(
            self,
            path,
            title=title,
            question=question,
            plots=plots,
            transform=transform,
            alpha=alpha,
        )
