"""The options of `mvmeta fit`."""

from __future__ import annotations

import argparse

from mvmeta.cli import covariances, terms
from mvmeta.cli.files import add_reading_options
from mvmeta.cli.pictures import PICTURES, picture
from mvmeta.cli.values import names, number_or_name, numbers, positive, positive_int, probability

EXAMPLES = f"""\
examples:
  mvmeta fit toy.csv -f "d ~ C(Category) - 1" --variance Variance --groups Study
  mvmeta fit schools.csv -f "yi ~ 1" --variance vi --groups district/school --t
  mvmeta fit two.parquet -f "yi ~ outcome - 1" --variance-matrix v.csv \\
      --random "outcome | trial; UN"
  mvmeta fit effects.csv -f "yi ~ 1" --variance vi --groups study/esid \\
      --vcalc "study; obs=esid; rho=0.6" --cov-type CR2
  mvmeta fit species.csv -f "yi ~ 1" --variance vi --groups article/effect \\
      --random "1 | species" --random "1 | species; corr=tree.csv"
  mvmeta fit toy.csv -f "d ~ 1" --variance Variance --groups Study \\
      --plot forest.svg --report report.html --json results.json

{terms.HELP}
{covariances.HELP}
exit codes: 0 done, 1 it cannot be done, 2 wrong usage, 3 did not converge
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """All of them, in groups."""
    parser.add_argument("data", help='CSV or Parquet (*.parquet, *.pq) file; "-": CSV from stdin')
    _add_data_options(parser)
    _add_model_options(parser)
    _add_estimation_options(parser)
    _add_test_options(parser)
    _add_output_options(parser)
    _add_report_options(parser)
    add_reading_options(parser)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("estimates and their sampling errors")
    v = data.add_mutually_exclusive_group(required=True)
    v.add_argument("--variance", metavar="COLUMN", help="sampling variances")
    v.add_argument(
        "--variance-matrix",
        metavar="FILE",
        help="sampling covariances of all rows: CSV of numbers only, rows x rows",
    )
    add = data.add_argument
    add(
        "--vcalc",
        metavar="TEXT",
        type=covariances.dependence,
        help='covariances from correlations: "study; obs=outcome; rho=0.6"; see below',
    )
    w = data.add_mutually_exclusive_group()
    w.add_argument("--weights", metavar="COLUMN", help="user weights for the fixed effects")
    w.add_argument("--weights-matrix", metavar="FILE", help="the same as a matrix, rows x rows")
    add("--subset", metavar="COLUMN", help='rows to use: a column, or a condition: "year > 2000"')
    add("--missing", choices=("drop", "raise"), default="drop", help="rows with missing values")


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("model").add_argument
    add("-f", "--formula", required=True, help='such as "d ~ C(Category) - 1"; np is numpy')
    add("--groups", metavar="NAMES", help='random intercepts: "study", or nested "study/id"')
    add(
        "--random",
        metavar="TERM",
        action="append",
        type=terms.random_term,
        help='further random term, repeatable: "1 | species", "outcome | study; UN"',
    )
    add(
        "--equal",
        metavar="TERMS",
        action="append",
        type=names,
        help='random terms with equal components, repeatable: "study, lab"',
    )


def _add_estimation_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("estimation").add_argument
    add("--ml", action="store_true", help="maximum likelihood instead of REML")
    add("--start", metavar="LIST", type=numbers, help="components to start from: --start=0.1,0.2")
    add("--maxiter", type=positive_int, default=200, help="likelihood evaluations (200)")
    add("--tol", type=positive, metavar="NUMBER", help="Newton decrement at which to stop")
    add("--backend", metavar="NAME", help="how M is factored; chosen from the layout unless given")


def _add_test_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("tests and intervals").add_argument
    add("--t", action="store_true", help="t and F tests instead of z and chi-square")
    add(
        "--df",
        type=number_or_name,
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
    add(
        "--cluster",
        metavar="COLUMN",
        action="append",
        help="clusters of CR*, repeatable for crossed ones; the outermost groups unless given",
    )
    add("--repair", action="store_true", help="of crossed clusters: negative eigenvalues become 0")
    add("--alpha", type=probability, default=0.05, help="1 - coverage of intervals (0.05)")


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group('output ("-" is standard output, in place of the summary)')
    add.add_argument("--json", metavar="FILE", help="all results as JSON")
    add.add_argument("--markdown", metavar="FILE", help="the tables in Markdown")
    add.add_argument("--latex", metavar="FILE", help="the summary as LaTeX tables")
    add.add_argument(
        "--plot",
        metavar="FILE",
        action="append",
        type=picture,
        help="a plot, repeatable: forest.svg, or KIND=FILE as orchard=figure2.png, or "
        "KIND:NAME=FILE as bubble:dose=figure3.pdf; "
        f"kinds: {', '.join(PICTURES)}",
    )
    add.add_argument(
        "--transform",
        metavar="NAME",
        help="scale of plots and report: exp, or a function of mvmeta.transf such as ilogit",
    )
    add.add_argument("-q", "--quiet", action="store_true", help="do not print the summary")


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("report").add_argument
    add("--report", metavar="FILE", help="everything as one HTML page with plots and methods text")
    add("--title", metavar="TEXT", help="heading of the page")
    add("--question", metavar="TEXT", help="what the analysis is to answer, for the page")
    add("--report-plots", metavar="KINDS", type=names, help="plots of the page: forest,funnel")
