"""Code that repeats the analysis, and the files it reads."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import patsy

from mvmeta.report.files import LARGEST_FILE, File, reading, same_values

MATRICES = ("KNOWN", "PROP", "PHYBM", "PHYPL", "PHYOU")
"""Codes of terms that have a known matrix."""

OWN = frozenset({*patsy.builtins.__all__, "poly", *dir(builtins)})
"""Functions that formulas have of themselves: patsy's, ours and Python's."""

MODULES = {"np": "numpy", "pd": "pandas", "math": "math", "patsy": "patsy"}
"""Names that formulas use, and what to import for them."""


@dataclass(frozen=True)
class Code:
    """Python that repeats an analysis."""

    text: str
    files: list[File]
    notes: list[str]


def code(res: Any) -> Code:
    """Code and data for a fit."""
    given = None if res.model.arguments is None else dict(res.model.arguments.values)
    return Writer(res, given, res.model.prepared.frame).write()


class Writer:
    """Collects columns, files and lines while the call is put together.

    Parameters
    ----------
    res : MetaMixedLMResults
    given : mapping of str to object or None
        What the model was built with; None if that was not kept.
    data : DataFrame
        Columns of the rows that the model uses.
    """

    def __init__(self, res: Any, given: Mapping[str, Any] | None, data: pd.DataFrame) -> None:
        self.res, self.prepared, self.problem = res, res.model.prepared, res.fit_.problem
        self.kept, self.given = given is not None, dict(given or {})
        self.data = data.reset_index(drop=True)
        self.setup: list[str] = []
        self.files: list[File] = []
        self.notes: list[str] = []

    def write(self) -> Code:
        """Put the call together."""
        arguments = [*self._what(), self._variance(), *self._terms(), *self._weights()]
        fit = self._fit()
        start = self._read_data()
        call = [f"model = {self.build}(", *(f"    {a}," for a in arguments if a), ")"]
        lines = [*self._imports(arguments, start), "", *start, *self.setup, "", *call]
        lines += [f"res = model.fit({fit})", "print(res.summary())"]
        return Code("\n".join(lines), self.files, self.notes)

    @property
    def build(self) -> str:
        """What is called to make the model."""
        return "MetaMixedLM.from_formula" if self._has_formula else "MetaMixedLM"

    @property
    def _has_formula(self) -> bool:
        return self.prepared.spec is not None and self.prepared.formula is not None

    def _imports(self, arguments: Sequence[str], start: Sequence[str]) -> list[str]:
        used = "\n".join([*arguments, *start, *self.setup])
        out = [
            f"import {module} as {name}" if module != name else f"import {module}"
            for name, module in MODULES.items()
            if f"{name}." in used
        ]
        names = ["MetaMixedLM"] + (["Random"] if "Random(" in used else [])
        scipy = ["from scipy import sparse"] if "sparse." in used else []
        return [*sorted(out), *scipy, f"from mvmeta import {', '.join(names)}"]

    # -- the data ------------------------------------------------------------------------

    def _column(self, name: str, values: Any) -> str:
        """Put values into the data under a name that is free, or that has the same values."""
        base, number = name, 2
        while name in self.data and not same_values(self.data[name], values):
            name, number = f"{base}_{number}", number + 1
        self.data[name] = np.asarray(values)
        return name

    def _read_data(self) -> list[str]:
        text = self.data.to_csv(index=False)
        self._add("data.csv", text, f"the {len(self.data)} rows that were analysed")
        options, lines = reading(self.data, text)
        return [f'data = pd.read_csv("data.csv"{options})', *lines]

    def _add(self, name: str, content: str, what: str) -> None:
        if len(content) > LARGEST_FILE:
            self.notes.append(
                f"{name} ({what}) is too large for a page; write it from the data of the analysis."
            )
            content = ""
        self.files.append(File(name, content, what))

    # -- what is modelled ----------------------------------------------------------------

    def _what(self) -> list[str]:
        if self._has_formula:
            self._note_functions(self.prepared.formula)
            return [repr(self.prepared.formula), "data"]
        y = self._column(self.prepared.endog_name, self.problem.y)
        x = [
            self._column(name, column)
            for name, column in zip(self.prepared.exog_names, self.problem.x.T, strict=True)
        ]
        return [f"data[{y!r}]", f"data[{x!r}]", "data=data"]

    def _note_functions(self, formula: str) -> None:
        """Say what the formula uses that neither the data nor the imports define."""
        unquoted = re.sub(r"(['\"]).*?\1", "", formula)
        called = set(re.findall(r"(?<![\w.])([A-Za-z_]\w*)\s*[(.]", unquoted))
        foreign = sorted(called - OWN - set(MODULES) - set(map(str, self.data)))
        if foreign:
            self.notes.append(f"The formula uses {', '.join(foreign)}, to be defined beforehand.")

    def _variance(self) -> str:
        value = self.given.get("variance")
        if isinstance(value, str):
            return f"variance={value!r}"
        v = self.problem.v
        if v.covariances is None:
            return f"variance={self._column('sampling_variance', v.variances)!r}"
        if v.provenance is not None:
            self.notes.append(f"The sampling covariances were made by {v.provenance.call}.")
        return f"variance={self._matrix('sampling_covariance', v.tosparse())}"

    def _weights(self) -> list[str]:
        value = self.given.get("weights")
        if self.prepared.weights is None:
            return []
        if isinstance(value, str):
            return [f"weights={value!r}"]
        return [f"weights={self._matrix('weights', self.prepared.weights)}"]

    def _matrix(self, name: str, matrix: Any) -> str:
        """A sparse matrix as a file of its entries; the expression that reads it."""
        entries = matrix.tocoo()
        frame = pd.DataFrame({"row": entries.row, "column": entries.col, "value": entries.data})
        self._add(f"{name}.csv", frame.to_csv(index=False), f"entries of {name.replace('_', ' ')}")
        n = matrix.shape[0]
        self.setup += [
            f'entries = pd.read_csv("{name}.csv")',
            f"{name} = sparse.csr_array(",
            f'    (entries["value"], (entries["row"], entries["column"])), shape=({n}, {n})',
            ")",
        ]
        return name

    def _terms(self) -> list[str]:
        if not self.kept:
            return self._terms_of_arrays()
        random = self.given.get("random")
        terms = random if isinstance(random, list | tuple) else [random] if random else []
        return [
            self._groups(),
            f"random=[{', '.join(self._random(t) for t in terms)}]" if terms else "",
            f"equal={self.given['equal']!r}" if self.given.get("equal") else "",
        ]

    def _terms_of_arrays(self) -> list[str]:
        """Terms of a model that does not keep what it was given, from what was made of them."""
        written = [self._of_record(record) for record in self.prepared.term_specs]
        terms = list(filter(None, written))
        return [self._groups(), f"random=[{', '.join(terms)}]" if terms else ""]

    def _of_record(self, record: Any) -> str:
        spec = record.spec
        if record.code is None and not set(record.outer) <= set(self.prepared.frame):
            return ""  # given as arrays, see `_groups`
        if spec.distance == "matrix" or record.known is not None or record.code in MATRICES:
            self.notes.append(
                f"The known matrix of the random term {record.name!r} is not on this page; add the "
                "term before you run the code."
            )
            return ""
        parts = [repr(f"{spec.left} | {':'.join(record.outer)}")]
        parts += [f"struct={spec.code!r}"] if spec.code and spec.scale is None else []
        for name in ("scale", "distance", "smoothness"):
            value = getattr(spec, name)
            parts += [f"{name}={value!r}"] if value is not None else []
        parts += [f"{n}={dict(v)!r}" for n, v in (("fixed", spec.pins), ("equal", spec.ties)) if v]
        return f"Random({', '.join(parts)})"

    def _groups(self) -> str:
        named = self.given.get("groups")
        if named is not None:
            return f"groups={named!r}"
        columns = [
            self._column(str(record.outer[-1]), _labels(term))
            for term, record in zip(self.problem.terms, self.prepared.term_specs, strict=True)
            if record.code is None and not set(record.outer) <= set(self.prepared.frame)
        ]
        return f"groups={columns!r}" if columns else ""

    def _random(self, term: Any) -> str:
        if isinstance(term, str):
            return repr(term)
        parts = [repr(term.formula)]
        parts += [f"struct={term.struct!r}"] if term.struct and not term.assumed else []
        for name in ("corr", "distance"):
            value = getattr(term, name)
            if isinstance(value, str):
                parts.append(f"{name}={value!r}")
            elif value is not None:
                parts.append(f"{name}={self._labelled(name, value)}")
        parts += [f"corr_scale={term.corr_scale!r}"] if term.corr_scale != "cor" else []
        parts += [f"smoothness={term.smoothness!r}"] if term.smoothness is not None else []
        parts += [f"scale={term.scale!r}"] if term.scale is not None else []
        parts += [f"{n}={dict(v)!r}" for n in ("fixed", "equal") if (v := getattr(term, n))]
        return f"Random({', '.join(parts)})"

    def _labelled(self, name: str, matrix: pd.DataFrame) -> str:
        """A labelled matrix as a file; the name of what it is read into."""
        number = 1 + sum(file.name.startswith(name) for file in self.files)
        variable = f"{name}_{number}"
        self._add(f"{variable}.csv", matrix.to_csv(), f"known matrix {name} of a random term")
        self.setup += [
            f'{variable} = pd.read_csv("{variable}.csv", index_col=0)',
            f"{variable}.columns = {variable}.index",
        ]
        return variable

    # -- the fit -------------------------------------------------------------------------

    def _fit(self) -> str:
        res = self.res
        parts = [] if res.reml else ["reml=False"]
        if res.n_clusters is not None:
            return ", ".join([*parts, f"cov_type={res.cov_type!r}", self._clusters()])
        if res.df_method == "residual":
            parts.append("use_t=True")
        elif res.df_method == "given":
            parts.append(f"df={np.asarray(res.df_inference).tolist()!r}")
        elif res.df_method != "z":
            parts.append(f"df={res.df_method!r}")
        parts += [f"cov_type={res.cov_type!r}"] if res.cov_type != "nonrobust" else []
        return ", ".join(parts)

    def _clusters(self) -> str:
        codes = np.asarray(self.res.clusters)
        several = codes.ndim == 2
        columns = [self._cluster(c) for c in (codes.T if several else codes[None])]
        groups = f"data[{columns!r}]" if several else f"data[{columns[0]!r}]"
        repair = ', "repair": True' if several else ""
        return f'cov_kwds={{"groups": {groups}, "df": {self.res.df_method!r}{repair}}}'

    def _cluster(self, codes: Any) -> str:
        """A column with these clusters: one of the data, or a new one."""
        for name in self.data:
            own = pd.factorize(self.data[name])[0]
            if np.array_equal(own, pd.factorize(codes)[0]):
                return str(name)
        return self._column("cluster", codes)


def _labels(term: Any) -> list[str]:
    labels = [str(label) for label in term.groups.labels]
    return [labels[i] for i in term.groups.codes]
