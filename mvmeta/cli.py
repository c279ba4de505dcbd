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
from mvmeta.errors import DataError, MvmetaError

if TYPE_CHECKING:
    import pandas as pd

    from mvmeta.model.random import Random
    from mvmeta.model.results import MetaMixedLMResults

DONE, FAILED = 0, 1
"""Exit codes; that of wrong usage, 2, is argparse's."""

INTERRUPTED, PIPE_CLOSED = 130, 141
"""What shells report for a program ended by SIGINT and SIGPIPE: 128 + the signal."""

STANDARD_STREAM = "-"

WIDTH = 78
"""Of prose: statsmodels' summaries are as wide, and a terminal has 80 columns."""

PINS = ("sigma2", "tau2", "rho")
TERM_OPTIONS = ("struct", "corr", "corr_scale", "distance", *PINS)


@dataclass(frozen=True)
class TermText:
    """A random term as it was typed: "outcome | study; UN; rho=0.5", taken apart."""

    formula: str
    options: dict[str, str]
    pins: dict[str, float | list[float | None]]


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
    print(f"mvmeta: {kind}: {message}", file=sys.stderr)


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
    demo = commands.add_parser("demo", help="three short analyses with explanations")
    demo.set_defaults(run=_demo)
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
  sigma2=, tau2=, rho=   fix components: one number, or a list with commas in
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
        help="nonrobust, knha, adhoc, or cluster-robust CR0, CR1, CR1p, CR1S, CR2, CR3",
    )
    add("--cluster", metavar="COLUMN", help="clusters of CR*; the outermost groups unless given")
    add("--alpha", type=_probability, default=0.05, help="1 - coverage of intervals (0.05)")
    add("--start", metavar="LIST", type=_numbers, help="components to start from: --start=0.1,0.2")
    add("--maxiter", type=_positive_int, default=200, help="likelihood evaluations (200)")
    add("--backend", metavar="NAME", help="nested, blocks, woodbury or dense; chosen unless given")


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group('output ("-" is standard output, in place of the summary)')
    add.add_argument("--json", metavar="FILE", help="all results as JSON")
    add.add_argument("--html", metavar="FILE", help="the summary as a page")
    add.add_argument("--latex", metavar="FILE", help="the summary as LaTeX tables")
    add.add_argument("-q", "--quiet", action="store_true", help="do not print the summary")


def _random_term(text: str) -> TermText:
    formula, *parts = (part.strip() for part in text.split(";"))
    options: dict[str, str] = {}
    for part in parts:
        key, equals, value = (p.strip() for p in part.partition("="))
        if not equals:
            key, value = "struct", key
        if key not in TERM_OPTIONS or not value or key in options:
            raise argparse.ArgumentTypeError(
                f"{part!r} in {text!r}: after the ';' of a random term come a structure such as UN "
                f"and NAME=VALUE, each once, with the names {', '.join(TERM_OPTIONS[1:])}"
            )
        options[key] = value
    pins = {key: _pin(options.pop(key)) for key in PINS if key in options}
    return TermText(formula, options, pins)


def _pin(text: str) -> float | list[float | None]:
    if "," not in text:
        return _number(text)
    return [_number(part) if part.strip() else None for part in text.split(",")]


def _numbers(text: str) -> list[float]:
    return [_number(part) for part in text.split(",")]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text.strip()!r} is not a number") from None


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

    data = _read_data(args.data, args.sep, args.decimal)
    model = MetaMixedLM.from_formula(
        args.formula,
        data,
        args.subset,
        variance=_variance(args),
        groups=args.groups,
        random=[_build_term(term) for term in args.random or []],
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
    from mvmeta.inference.robust import KINDS
    from mvmeta.model.frames import Source

    options: dict[str, Any] = {}
    if args.cluster is not None:
        options["groups"] = Source(data).column(args.cluster, "--cluster")
    if args.df is not None and args.cov_type in KINDS:
        options["df"] = args.df
    df = "residual" if args.df is None else args.df
    return {"df": df, "cov_type": args.cov_type, "cov_kwds": options}


def _build_term(term: TermText) -> Random:
    from mvmeta.model.distances import METRICS
    from mvmeta.model.random import Random

    options: dict[str, Any] = dict(term.options)
    if "corr" in options:
        options["corr"] = _read_labelled(options["corr"])
    if "distance" in options and options["distance"] not in METRICS:
        options["distance"] = _read_labelled(options["distance"])
    return Random(term.formula, fixed=term.pins or None, **options)


def _read_data(path: str, sep: str | None, decimal: str) -> pd.DataFrame:
    """Rows are labelled 1, 2, ...: messages about rows then count as people do."""
    import pandas as pd

    if Path(path).suffix.lower() in {".parquet", ".pq"}:
        frame = _reading(path, pd.read_parquet)
    else:
        sep = sep or ("\t" if Path(path).suffix.lower() == ".tsv" else ",")
        frame = _reading(path, lambda source: _read_csv(source, sep, decimal))
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1))


def _read_csv(source: Any, sep: str, decimal: str) -> pd.DataFrame:
    """A CSV file whose rows are no longer than its header: else pandas would shift columns."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Length of header", pd.errors.ParserWarning)
        try:
            return pd.read_csv(source, sep=sep, decimal=decimal, index_col=False)
        except pd.errors.ParserWarning:
            raise DataError(
                "the rows have more fields than the header; name every column (in R, write with "
                "row.names = FALSE)"
            ) from None


def _variance(args: argparse.Namespace) -> Any:
    import pandas as pd

    if args.variance is not None:
        return args.variance
    path = args.variance_matrix
    frame = _reading(path, lambda source: pd.read_csv(source, header=None))
    return _numeric(frame, path, "numbers only, one row and one column for each row of the data")


def _read_labelled(path: str) -> pd.DataFrame:
    import pandas as pd

    frame = _reading(path, lambda source: pd.read_csv(source, index_col=0))
    if [str(label) for label in frame.index] != list(frame.columns):
        raise DataError(
            f"{path}: the first row and the first column must hold the same labels, in the "
            "same order"
        )
    values = _numeric(frame, path, "numbers only, but for the labels")
    return pd.DataFrame(values, index=frame.index, columns=frame.index)


def _numeric(frame: pd.DataFrame, path: str, what: str) -> Any:
    try:
        return frame.to_numpy(dtype=float)
    except ValueError:
        raise DataError(f"{path} must hold {what}") from None


def _reading(path: str, read: Callable[[Any], pd.DataFrame]) -> pd.DataFrame:
    """Read a file; whatever is wrong with it becomes a DataError that names it."""
    try:
        return read(sys.stdin if path == STANDARD_STREAM else path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except ImportError as error:
        missing = f"cannot read {path}: Parquet needs pyarrow; pip install pyarrow, or use CSV"
        raise DataError(missing) from error
    except ValueError as error:
        raise DataError(f"cannot read {path}: {error}") from error


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


# -- datasets ----------------------------------------------------------------------------


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
    print(_filled(about["description"]) + "\n")
    wide = max(map(len, about["variables"]))
    for name, meaning in about["variables"].items():
        print(_entry(f"  {name:<{wide}}  ", meaning))
    print()
    for key in ("structure", "source", "licence"):
        print(_entry(f"{key.capitalize() + ':':<11}", about[key]))


def _entry(head: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH)


# -- demo --------------------------------------------------------------------------------


def _demo(_: argparse.Namespace) -> int:
    for number, part in enumerate((_demo_toy, _demo_schools, _demo_species), start=1):
        part(number)
    print("Next: mvmeta datasets, mvmeta fit --help")
    return DONE


def _heading(number: int, text: str) -> None:
    title = f"{number}. {text}"
    print(f"{title}\n{'-' * len(title)}\n")


def _demo_toy(number: int) -> None:
    from mvmeta import datasets
    from mvmeta.model.mixed import MetaMixedLM

    toy = datasets.load("toy")
    separate, joint = (
        MetaMixedLM.from_formula("d ~ C(Category) - 1", toy, variance="Variance", groups=g).fit()
        for g in (None, "Study")
    )
    _heading(number, "A category that only one study saw (data set toy)")
    table = toy.pivot_table(index="Study", columns="Category", values="d")
    print(table.to_string(float_format="%g", na_rep=".") + "\n")
    print(_filled(f"Every estimate has the sampling variance {toy['Variance'].iloc[0]:g}.") + "\n")
    print("  mvmeta datasets toy --csv toy.csv")
    print('  mvmeta fit toy.csv -f "d ~ C(Category) - 1" --variance Variance --groups Study\n')
    _compare(separate, joint)
    print(_filled(_toy_sentences(table, separate, joint)) + "\n\n")


def _compare(separate: MetaMixedLMResults, joint: MetaMixedLMResults) -> None:
    print(f"{'mean (standard error)':<24}{'no study effect':>20}{'with study effect':>20}")
    for name in joint.params.index:
        cells = (f"{r.params[name]:.4f} ({r.bse[name]:.4f})" for r in (separate, joint))
        print(f"  {name:<22}" + "".join(f"{cell:>20}" for cell in cells))
    print()


def _toy_sentences(
    table: pd.DataFrame, separate: MetaMixedLMResults, joint: MetaMixedLMResults
) -> str:
    c = "C(Category)[C]"
    seen = table.index[table["C"].notna()]
    shared = table.drop(columns="C")
    below = float((shared.mean() - shared.loc[seen[0]]).mean())
    shift = -float(joint.ranef()["Study"].loc[seen[0], "estimate"])
    low, high = joint.conf_int().loc[c]
    return (
        f"C was only seen in study {seen[0]}, whose effects in the other categories lie "
        f"{below:g} below the average of the studies. "
        f"Without a study effect, the mean of C is the one number reported for it, "
        f"{separate.params[c]:.4f}. With one, the model compares within studies and asks what C "
        f"would be in an average study: {table.loc[seen[0], 'C']:g} + {shift:.4f} = "
        f"{joint.params[c]:.4f} (the shift is not quite {below:g}, because it is known from two "
        f"noisy estimates and so drawn towards zero). Its standard error, {joint.bse[c]:.4f} in "
        f"place of {separate.bse[c]:.4f}, says how little {len(table)} studies that differ so "
        f"much can tell: the 95% interval goes from {low:.2f} to {high:.2f}."
    )


def _demo_schools(number: int) -> None:
    import pandas as pd

    from mvmeta import datasets
    from mvmeta.model.mixed import MetaMixedLM

    schools = datasets.load("konstantopoulos2011")
    res = MetaMixedLM.from_formula("yi ~ 1", schools, variance="vi", groups="district/school").fit()
    new = res.get_prediction(pd.DataFrame(index=[0])).summary_frame().iloc[0]
    _heading(number, "Schools within districts (data set konstantopoulos2011)")
    print(_filled(schools.attrs["description"]) + "\n")
    print("  mvmeta datasets konstantopoulos2011 --csv schools.csv")
    print('  mvmeta fit schools.csv -f "yi ~ 1" --variance vi --groups district/school\n')
    print(f"{res.summary()}\n")
    print(_filled(_schools_sentences(res, new)) + "\n\n")


def _schools_sentences(res: MetaMixedLMResults, new: pd.Series) -> str:
    i2 = res.heterogeneity()["i2"]
    district, school = "district", "district/school"
    places = {district: "between districts", school: "between the schools of a district"}
    most = places[str(i2.drop("total").idxmax())]
    sd = res.vcomp.set_index("term")["sqrt"]
    return (
        f"Of the variance of a typical estimate {i2[district]:.0%} lies between districts, "
        f"{i2[school]:.0%} between the schools of a district, and {1 - i2['total']:.0%} is "
        f"sampling error: heterogeneity is greatest {most}. "
        f"The mean effect is {res.params.iloc[0]:.2f}, the standard deviations about it are "
        f"{sd[district]:.2f} (districts) and {sd[school]:.2f} (schools), so the true effect in a "
        f"school of a district not yet studied is expected anywhere from "
        f"{new['obs_ci_lower']:.2f} to {new['obs_ci_upper']:.2f}."
    )


def _demo_species(number: int) -> None:
    from mvmeta import datasets
    from mvmeta.model.mixed import MetaMixedLM
    from mvmeta.model.random import Random

    tree = datasets.correlation("lim2014")
    res = MetaMixedLM.from_formula(
        "yi ~ 1",
        datasets.load("lim2014"),
        variance="vi",
        groups="article/effect",
        random=[Random("1 | species"), Random("1 | species", corr=tree)],
    ).fit()
    _heading(number, "Species on an evolutionary tree (data set lim2014)")
    print("  mvmeta datasets lim2014 --csv species.csv --correlation tree.csv")
    print('  mvmeta fit species.csv -f "yi ~ 1" --variance vi --groups article/effect \\')
    print('      --random "1 | species" --random "1 | species; corr=tree.csv"\n')
    i2 = res.heterogeneity()["i2"]
    shares = res.vcomp.assign(share=[f"{i2[t]:.0%}" for t in res.vcomp["term"]])
    shown = shares[["term", "n_levels", "estimate", "sqrt", "share"]]
    print(shown.to_string(index=False, float_format="%.4f") + "\n")
    print(_filled(_species_sentences(res, len(tree))) + "\n")


def _species_sentences(res: MetaMixedLMResults, n_species: int) -> str:
    i2 = res.heterogeneity()["i2"]
    return (
        f"{res.nobs} estimates on {n_species} species. A species enters twice: by itself, and "
        f"with effects that are as correlated as the species are related. What follows the tree "
        f"is {i2['species (corr)']:.0%} of the variance of a typical estimate, what is particular "
        f"to a species {i2['species']:.0%}, to an article {i2['article']:.0%}, and to an estimate "
        f"within its article {i2['article/effect']:.0%}."
    )
