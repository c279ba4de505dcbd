"""The command `mvmeta`: a fit, a demonstration and the data sets, from the shell.

What is heavy (pandas, statsmodels) is imported where it is used: `mvmeta --help` must not wait.
"""

from __future__ import annotations

import argparse
import html
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvmeta._version import __version__
from mvmeta.errors import MvmetaError
from mvmeta.files import STANDARD_STREAM, read_data, read_labelled, read_matrix
from mvmeta.wording import in_the_shell

if TYPE_CHECKING:
    import pandas as pd

    from mvmeta.model.results.results import MetaMixedLMResults
    from mvmeta.model.specification.random import Random

DONE, FAILED = 0, 1
"""Exit codes; that of wrong usage, 2, is argparse's."""

INTERRUPTED, PIPE_CLOSED = 130, 141
"""What shells report for a program ended by SIGINT and SIGPIPE: 128 + the signal."""

WIDTH = 78
"""Of prose: statsmodels' summaries are as wide, and a terminal has 80 columns."""

PINS = ("sigma2", "tau2", "rho", "lambda", "alpha", "loading", "psi")
TERM_OPTIONS = ("struct", "corr", "corr_scale", "distance", "smoothness", "scale", "equal", *PINS)


@dataclass(frozen=True)
class TermText:
    """A random term as it was typed: "outcome | study; UN; rho=0.5", taken apart."""

    formula: str
    options: dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the name of the program; those of the process unless given.

    Returns
    -------
    int
        0: done.  1: the analysis cannot be done, or its fit did not converge.

    Raises
    ------
    SystemExit
        With 2 for wrong usage, with 0 after --help and --version.
    """
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except MvmetaError as error:
        return _fail(str(error))
    except BrokenPipeError:
        _abandon_stdout()
        return PIPE_CLOSED
    except OSError as error:
        if error.filename is None:
            _abandon_stdout()
        return _fail(f"cannot write {error.filename or 'standard output'}: {error.strerror}")
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    with _one_line_warnings():
        code: int = args.run(args)
    return code


def _fail(message: str) -> int:
    _say("error", message.rstrip())
    return FAILED


def _say(kind: str, message: str) -> None:
    print(f"mvmeta: {kind}: {in_the_shell(message)}", file=sys.stderr)


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Warnings as one line each, without the place in the source they came from."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        _say("warning", " ".join(str(message).split()))

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for category in (DeprecationWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


def _abandon_stdout() -> None:
    """Let the flush at exit go nowhere: the reader of standard output has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# -- arguments ---------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mvmeta",
        description="Multilevel and multivariate meta-analysis.",
        epilog="Exit codes: 0 done, 1 the analysis cannot be done or did not converge, "
        "2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"mvmeta {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parser_demo = commands.add_parser("demo", help="three short analyses with explanations")
    parser_demo.set_defaults(run=_demo)
    _add_datasets(commands)
    _add_fit(commands)
    return parser


def _add_datasets(commands: Any) -> None:
    parser = commands.add_parser("datasets", help="list, describe or export the data sets")
    parser.add_argument("name", nargs="?", help="describe this one")
    parser.add_argument("--csv", metavar="FILE", help='write it as CSV ("-": standard output)')
    parser.add_argument(
        "--correlation", metavar="FILE", help="write the known correlations that belong to it"
    )
    parser.set_defaults(run=_datasets, usage=parser.error)


FIT_EXAMPLES = """\
examples:
  mvmeta fit toy.csv -f "d ~ C(Category) - 1" --variance Variance --groups Study
  mvmeta fit schools.csv -f "yi ~ 1" --variance vi --groups district/school --t
  mvmeta fit two.parquet -f "yi ~ outcome - 1" --variance-matrix v.csv \\
      --random "outcome | trial; UN"
  mvmeta fit species.csv -f "yi ~ 1" --variance vi --groups article/effect \\
      --random "1 | species" --random "1 | species; corr=tree.csv"

a random term:  LEFT | GROUPS [; STRUCTURE] [; NAME=VALUE ...]
  corr=FILE              known correlations, CSV with labels in first row and column
  corr_scale=NAME        cor, cor0, cov0 or none
  distance=NAME or FILE  metric over the coordinates, or a labelled CSV
  smoothness=NUMBER      of MATERN
  scale=FORMULA          covariates of the variance, of "1 | GROUPS"
  equal=KIND:LIST        components with one value: "equal=tau2:1,1,2"; several
                         kinds with spaces between them
  sigma2=, tau2=, rho=, lambda=, alpha=, loading=, psi=
                         fix components: one number, or a list with commas in
                         which what is left empty is estimated
"""


def _add_fit(commands: Any) -> None:
    parser = commands.add_parser(
        "fit",
        help="fit a model to a CSV or Parquet file",
        description="Fit a model and print its summary.",
        epilog=FIT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", help='CSV or Parquet (*.parquet, *.pq) file; "-": CSV from stdin')
    _add_model_options(parser)
    _add_inference_options(parser)
    _add_output_options(parser)
    parser.set_defaults(run=_fit, usage=parser.error)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    add = model.add_argument
    add("-f", "--formula", required=True, help='such as "d ~ C(Category) - 1"; np is numpy')
    v = model.add_mutually_exclusive_group(required=True)
    v.add_argument("--variance", metavar="COLUMN", help="sampling variances")
    v.add_argument(
        "--variance-matrix",
        metavar="FILE",
        help="sampling covariances of all rows: CSV of numbers only, rows x rows",
    )
    add("--groups", metavar="NAMES", help='random intercepts: "study", or nested "study/id"')
    add(
        "--random",
        metavar="TERM",
        action="append",
        type=_random_term,
        help='further random term, repeatable: "1 | species", "outcome | study; UN"',
    )
    add(
        "--equal",
        metavar="TERMS",
        action="append",
        type=_term_names,
        help='random terms with equal components, repeatable: "study, lab"',
    )
    add("--weights", metavar="COLUMN", help="user weights for the fixed effects")
    add("--subset", metavar="COLUMN", help="use the rows in which this column is true")
    add("--missing", choices=("drop", "raise"), default="drop", help="rows with missing values")
    add("--sep", help="separator of the CSV (default: comma, tab in *.tsv)")
    add("--decimal", default=".", help="decimal sign of the CSV (default: point)")


def _add_inference_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("estimation and tests").add_argument
    add("--ml", action="store_true", help="maximum likelihood instead of REML")
    add("--t", action="store_true", help="t and F tests instead of z and chi-square")
    add(
        "--df",
        type=_number_or_name,
        help="degrees of freedom of t and F: residual, contain, satterthwaite, kenward-roger, "
        "or a number; with CR*: satterthwaite, cluster or residual",
    )
    add(
        "--cov-type",
        metavar="NAME",
        default="nonrobust",
        help="nonrobust, knha, adhoc, or cluster-robust CR0, CR1, CR1p, CR1S, CR2, CR3, "
        "or robust, which chooses among these",
    )
    add("--cluster", metavar="COLUMN", help="clusters of CR*; the outermost groups unless given")
    add("--alpha", type=_probability, default=0.05, help="1 - coverage of intervals (0.05)")
    add("--start", metavar="LIST", type=_numbers, help="components to start from: --start=0.1,0.2")
    add("--maxiter", type=_positive_int, default=200, help="likelihood evaluations (200)")
    add("--backend", metavar="NAME", help="how M is factored; chosen from the layout unless given")


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group('output ("-" is standard output, in place of the summary)')
    add.add_argument("--json", metavar="FILE", help="all results as JSON")
    add.add_argument("--html", metavar="FILE", help="the summary as a page")
    add.add_argument("--latex", metavar="FILE", help="the summary as LaTeX tables")
    add.add_argument("-q", "--quiet", action="store_true", help="do not print the summary")


def _random_term(text: str) -> TermText:
    formula, *parts = (part.strip() for part in text.split(";"))
    options: dict[str, Any] = {}
    for part in parts:
        key, equals, value = (p.strip() for p in part.partition("="))
        if not equals:
            key, value = "struct", key
        if key not in TERM_OPTIONS or not value or key in options:
            raise argparse.ArgumentTypeError(
                f"{part!r} in {text!r}: after the ';' of a random term come a structure such as UN "
                f"and NAME=VALUE, each once, with the names {', '.join(TERM_OPTIONS[1:])}"
            )
        options[key] = _READERS.get(key, str)(value)
    options["fixed"] = {key: options.pop(key) for key in PINS if key in options} or None
    return TermText(formula, options)


def _pin(text: str) -> float | list[float | None]:
    if "," not in text:
        return _number(text)
    return [_number(part) if part.strip() else None for part in text.split(",")]


def _ties(text: str) -> dict[str, list[str | None]]:
    """Groups of equal components for each kind: "tau2:1,1,2 rho:1,1,2"."""
    out: dict[str, list[str | None]] = {}
    for part in text.split():
        kind, _, groups = part.partition(":")
        if not groups or kind in out:
            raise argparse.ArgumentTypeError(
                f"equal={text}: components that are equal are given as tau2:1,1,2, with the same "
                "number for those that are; several kinds with spaces between them"
            )
        out[kind] = [group or None for group in groups.split(",")]
    return out


def _term_names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _numbers(text: str) -> list[float]:
    return [_number(part) for part in text.split(",")]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text.strip()!r} is not a number") from None


_READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(PINS, _pin),
    "smoothness": _number,
    "equal": _ties,
}
"""How the values of a random term are read, where they are no text."""


def _number_or_name(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _probability(text: str) -> float:
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


# -- fit ---------------------------------------------------------------------------------


def _fit(args: argparse.Namespace) -> int:
    from mvmeta.model.testing.inference import ROBUST

    if args.cluster is not None and args.cov_type not in ROBUST:
        args.usage(f"--cluster goes with --cov-type {', '.join(ROBUST)} only")
    wanted = [f for f in (args.json, args.html, args.latex) if f is not None]
    if wanted.count(STANDARD_STREAM) > 1:
        args.usage("only one of --json, --html and --latex can go to standard output")
    res = _estimate(args)
    if not (args.quiet or STANDARD_STREAM in wanted):
        print(res.summary(alpha=args.alpha))
    renderings: list[tuple[str | None, Callable[[], str]]] = [
        (args.json, lambda: res.to_json(args.alpha)),
        (args.html, lambda: _page(res, args.alpha)),
        (args.latex, lambda: str(res.summary(alpha=args.alpha).as_latex())),
    ]
    for path, render in renderings:
        if path is not None:
            _write(path, render())
    if res.converged:
        return DONE
    _say("warning", f"{res.status.value}; other --start values or a larger --maxiter may help")
    return FAILED


def _estimate(args: argparse.Namespace) -> MetaMixedLMResults:
    import numpy as np
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    from mvmeta.model.mixed import MetaMixedLM

    data = read_data(args.data, args.sep, args.decimal)
    model = MetaMixedLM.from_formula(
        args.formula,
        data,
        args.subset,
        variance=args.variance or read_matrix(args.variance_matrix),
        groups=args.groups,
        random=[_build_term(term) for term in args.random or []],
        equal=args.equal,
        weights=args.weights,
        missing=args.missing,
        backend=args.backend,
        eval_env={"np": np},
    )
    # It speaks of Python attributes; `_fit` says the same in words of the shell.
    warnings.simplefilter("ignore", ConvergenceWarning)
    return model.fit(
        reml=not args.ml,
        use_t=args.t,
        start=args.start,
        maxiter=args.maxiter,
        **_tests(args, data),
    )


def _tests(args: argparse.Namespace, data: pd.DataFrame) -> dict[str, Any]:
    """The options of `fit` that say how coefficients are tested."""
    from mvmeta.model.specification.frames import Source
    from mvmeta.model.testing.inference import ROBUST

    options: dict[str, Any] = {}
    if args.cluster is not None:
        options["groups"] = Source(data).column(args.cluster, "--cluster")
    if args.df is not None and args.cov_type in ROBUST:
        options["df"] = args.df
    df = "residual" if args.df is None else args.df
    return {"df": df, "cov_type": args.cov_type, "cov_kwds": options}


def _build_term(term: TermText) -> Random:
    from mvmeta.model.specification.distances import METRICS
    from mvmeta.model.specification.random import Random

    options = dict(term.options)
    if "corr" in options:
        options["corr"] = read_labelled(options["corr"])
    if "distance" in options and options["distance"] not in METRICS:
        options["distance"] = read_labelled(options["distance"])
    return Random(term.formula, **options)


def _write(path: str, text: str) -> None:
    if path == STANDARD_STREAM:
        print(text)
    else:
        Path(path).write_text(text + "\n", encoding="utf-8")


PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; margin: 2rem; }}
table {{ border-collapse: collapse; margin-bottom: 1.5rem; }}
caption {{ font-weight: bold; text-align: left; padding: 0.3rem 0; }}
th, td {{ padding: 0.2rem 0.8rem; text-align: right; border-bottom: 1px solid #ccc; }}
</style>
</head>
<body>
{body}
</body>
</html>"""


def _page(res: MetaMixedLMResults, alpha: float) -> str:
    title = html.escape(f"mvmeta: {res.model.formula}")
    return PAGE.format(title=title, body=res.summary(alpha=alpha).as_html())


# -- demo and datasets -------------------------------------------------------------------


def _demo(_: argparse.Namespace) -> int:
    from mvmeta import demo

    demo.run()
    return DONE


def _datasets(args: argparse.Namespace) -> int:
    from mvmeta import datasets

    exports: list[tuple[str | None, Callable[[str], pd.DataFrame], bool]] = [
        (args.csv, datasets.load, False),
        (args.correlation, datasets.correlation, True),
    ]
    wanted = [(path, load, labels) for path, load, labels in exports if path is not None]
    if args.name is None:
        if wanted:
            args.usage("--csv and --correlation need the name of a data set")
        _list(datasets.describe())
    elif not wanted:
        _describe(datasets.load(args.name))
    for path, load, labels in wanted:
        _write(path, load(args.name).to_csv(index=labels).rstrip("\n"))
    return DONE


def _list(table: pd.DataFrame) -> None:
    wide = max(map(len, table.index))
    print(f"{'name':<{wide}}  rows  studies  description")
    for name, row in table.iterrows():
        head = f"{name:<{wide}}  {row['rows']:>4}  {row['studies']:>7}  "
        print(_entry(head, row["description"]))
    print("\nmvmeta datasets NAME describes one of them; --csv FILE writes it.")


def _describe(frame: pd.DataFrame) -> None:
    about = frame.attrs
    print(f"{about['name']}: {about['title']} ({len(frame)} rows)\n")
    print(_entry("", about["description"]) + "\n")
    wide = max(map(len, about["variables"]))
    for name, meaning in about["variables"].items():
        print(_entry(f"  {name:<{wide}}  ", meaning))
    print()
    for key in ("structure", "source", "licence"):
        print(_entry(f"{key.capitalize() + ':':<11}", about[key]))


def _entry(head: str, text: str) -> str:
    text = " ".join(text.split())
    return textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
