"""`mvmeta translate`: a call written for R's metafor as Python, and its fit."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from mvmeta.cli.exits import DONE, NOT_CONVERGED
from mvmeta.cli.files import STANDARD_STREAM, add_reading_options, read_data, read_labelled
from mvmeta.cli.messages import stage
from mvmeta.cli.output import write

if TYPE_CHECKING:
    from mvmeta.metafor.translation import MetaforTranslation

EXAMPLES = """\
examples:
  mvmeta translate "rma.mv(yi, vi, random = ~ 1 | study/id, data = dat)"
  mvmeta translate - < model.R
  mvmeta translate "rma(yi, vi, mods = ~ ablat, data = dat)" --data bcg.csv
  mvmeta translate - --data lim.csv --matrix A=tree.csv < model.R

The call is read as R, not run. What differs between the two programs follows
the code as comments.
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "translate",
        help="translate a call of R's metafor (rma.mv, rma)",
        description="Print the Python that does what a call of rma.mv or rma does in R.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("call", help='the call, perhaps over several lines; "-": from stdin')
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default=STANDARD_STREAM,
        help="where the code goes (standard output unless given)",
    )
    parser.add_argument(
        "--data",
        dest="table",
        metavar="FILE",
        help="the data the call names: CSV or Parquet; the model is then fitted as well",
    )
    parser.add_argument(
        "--matrix",
        metavar="NAME=FILE",
        action="append",
        type=_matrix,
        default=[],
        help="a labelled matrix the call names, repeatable: A=tree.csv",
    )
    add_reading_options(parser)
    parser.set_defaults(run=run, usage=parser.error)


def _matrix(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not path or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r}: a matrix is given as NAME=FILE: A=tree.csv")
    return name, path


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from mvmeta.metafor.translation import from_metafor

    if args.call == STANDARD_STREAM == args.table:
        args.usage("the call and the data cannot both come from standard input")
    if args.matrix and args.table is None:
        args.usage("--matrix goes with --data FILE only")
    call = sys.stdin.read() if args.call == STANDARD_STREAM else args.call
    data = None if args.table is None else read_data(args.table, args.sep, args.decimal)
    objects = {name: read_labelled(path) for name, path in args.matrix}
    translation = from_metafor(call, data, **objects)
    write(args.output, str(translation))
    return DONE if data is None else _fit(translation)


def _fit(translation: MetaforTranslation) -> int:
    with stage("fitting"):
        res = translation.fit()
    print(f"\n{res.summary()}")
    return DONE if res.converged else NOT_CONVERGED
