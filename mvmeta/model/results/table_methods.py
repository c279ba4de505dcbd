"""Tables for papers, as methods of the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mvmeta.errors import SpecificationError
from mvmeta.model.results.summary import (
    coefficient_table,
    component_table,
    latex_tabular,
    markdown_table,
)

if TYPE_CHECKING:
    from statsmodels.iolib.table import SimpleTable

TABLES: dict[str, Callable[[Any, float], SimpleTable]] = {
    "coefficients": lambda res, alpha: coefficient_table(res, None, alpha),
    "components": lambda res, _: component_table(res),
}
"""Names of tables, and how each is made of results and 1 - coverage."""


class TableMethods:
    """Mixin: ``to_markdown, to_latex``."""

    # What it reads is defined by the results class it is mixed into.
    vcomp: Any

    def to_markdown(self, tables: str | Sequence[str] | None = None, *, alpha: float = 0.05) -> str:
        r"""The tables of coefficients and components in Markdown.

        Parameters
        ----------
        tables : {"coefficients", "components"} or list of these, optional
            All that the model has unless given.
        alpha : float
            1 - coverage of the confidence intervals.

        Returns
        -------
        str
            Pipe tables, as GitHub, pandoc and Quarto read them, each under its title; what
            Markdown would read as its own, such as "|" or "*" in a name, is escaped.

        Raises
        ------
        SpecificationError
            For another table, or that of the components of a model without random effects.

        See Also
        --------
        summary : Its ``as_markdown()`` and ``as_latex()`` have the header and notes as well.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> print(res.to_markdown("coefficients"))
        **Coefficients**
        <BLANKLINE>
        |  | coef | std err | z | P>\|z\| | \[0.025 | 0.975\] |
        | --- | ---: | ---: | ---: | ---: | ---: | ---: |
        | Intercept | 13.7495 | 8.7500 | 1.571 | 0.116 | -3.4002 | 30.8992 |
        """
        made = [make(self, alpha) for make in self._tables(tables)]
        return "\n\n".join(f"**{t.title}**\n\n{markdown_table(t)}" for t in made)

    def to_latex(
        self,
        tables: str | Sequence[str] | None = None,
        *,
        caption: str | None = None,
        label: str | None = None,
        alpha: float = 0.05,
    ) -> str:
        r"""The tables of coefficients and components in LaTeX.

        Parameters
        ----------
        tables : {"coefficients", "components"} or list of these, optional
            All that the model has unless given.
        caption : str, optional
            Makes one ``table`` environment with this caption around the tables; bare ``tabular``
            environments unless given.  It is LaTeX and used as it is.
        label : str, optional
            For ``\ref``; needs a caption.
        alpha : float
            1 - coverage of the confidence intervals.

        Returns
        -------
        str
            For the package booktabs.

        Raises
        ------
        SpecificationError
            For another table, that of the components of a model without random effects, or a
            label without a caption.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.to_latex().count("tabular")
        4
        """
        if label is not None and caption is None:
            raise SpecificationError("label= needs a caption= that LaTeX can number")
        body = "\n\n".join(_tabular(make(self, alpha)) for make in self._tables(tables))
        if caption is None:
            return body
        named = "" if label is None else f"\\label{{{label}}}"
        start = f"\\begin{{table}}\n\\centering\n\\caption{{{caption}}}{named}\n"
        return f"{start}{body}\n\\end{{table}}"

    def _tables(self, wanted: str | Sequence[str] | None) -> list[Callable[[Any, float], Any]]:
        there = [name for name in TABLES if name != "components" or len(self.vcomp)]
        chosen = there if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
        unknown = [name for name in chosen if name not in there]
        if unknown:
            raise SpecificationError(
                f"tables= takes {', '.join(there)}"
                + ("" if len(there) == len(TABLES) else ", as this model has no random effects")
                + f"; got {', '.join(map(str, unknown))}"
            )
        return [TABLES[name] for name in chosen]


def _tabular(table: SimpleTable) -> str:
    """The tabular alone: what is around it is the author's to say."""
    text = latex_tabular(table)
    return text[text.index("\\begin{tabular}") : text.index("\n\\end{center}")].partition("\n%")[0]
