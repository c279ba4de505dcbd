"""`mvmeta escalc`: effect sizes from what studies report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvmeta.cli.exits import DONE
from mvmeta.cli.files import STANDARD_STREAM, add_reading_options, read_data
from mvmeta.cli.output import write
from mvmeta.cli.prose import entry
from mvmeta.cli.values import names, number, number_or_name

if TYPE_CHECKING:
    import pandas as pd

INPUTS = (
    "ai bi ci di n1i n2i x1i x2i t1i t2i m1i m2i sd1i sd2i xi mi ri ti fi pi sdi r2i ni yi vi sei"
).split()
"""Names of what measures are computed from; a test compares them with those the measures take."""

EXAMPLES = """\
examples:
  mvmeta escalc --list
  mvmeta escalc RR bcg.csv --ai tpos --bi tneg --ci cpos --di cneg -o es.csv
  mvmeta escalc SMD trials.csv --m1i m1 --sd1i s1 --n1i n1 \\
      --m2i m2 --sd2i s2 --n2i n2
  mvmeta escalc ZCOR r.csv --ri r --ni n |
      mvmeta fit - -f "yi ~ 1" --variance vi --groups study

Each input is a column of the data, or a number that holds for all rows.
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "escalc",
        help="compute effect sizes and their sampling variances",
        description="Add effect sizes (yi) and their sampling variances (vi) to a table.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("measure", nargs="?", help="code of the measure, such as SMD or RR")
    parser.add_argument(
        "data", nargs="?", help='CSV or Parquet (*.parquet, *.pq) file; "-": CSV from stdin'
    )
    parser.add_argument("--list", action="store_true", help="list the measures and their inputs")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default=STANDARD_STREAM,
        help="where the table goes, as CSV (standard output unless given)",
    )
    add_reading_options(parser)
    _add_options(parser)
    inputs = parser.add_argument_group("inputs; each measure takes some of them")
    for name in INPUTS:
        inputs.add_argument(f"--{name}", metavar="COLUMN", type=number_or_name)
    parser.set_defaults(run=run, usage=parser.error)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("how they are computed").add_argument
    add("--vtype", default="LS", metavar="KIND", help="kind of sampling variance (LS)")
    add("--uncorrected", action="store_true", help="without corrections for small samples")
    add("--add", type=number, metavar="NUMBER", help="added to cells; 1/2 for most measures")
    add(
        "--to",
        choices=("only0", "all", "if0all", "none"),
        default="only0",
        help="rows it is added to: with a zero cell, all, all if any has one, none",
    )
    add("--drop00", action="store_true", help="leave out studies without events in both groups")
    add("--flip", metavar="COLUMN", help="column that is true where the sign is reversed")
    add("--slab", metavar="COLUMN", help="labels of the studies, for messages")
    add(
        "--cutoff",
        type=number,
        default=2.0,
        metavar="NUMBER",
        help="warn of standardized differences beyond it (2): standard errors for deviations?",
    )
    add(
        "--var-names",
        type=names,
        metavar="YI,VI",
        default=["yi", "vi"],
        help="names of the new columns (yi,vi)",
    )
    add("--only-new", action="store_true", help="write the new columns alone")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from mvmeta.effects import escalc

    if args.list:
        _list()
        return DONE
    if args.measure is None or args.data is None:
        args.usage("the code of a measure and a file are needed; --list lists the measures")
    if len(args.var_names) != 2:
        args.usage("--var-names takes two names, such as yi,vi")
    if Path(args.measure).suffix and not Path(args.data).suffix:
        args.usage(f"the measure comes first: mvmeta escalc {args.data} {args.measure} ...")
    data = read_data(args.data, args.sep, args.decimal)
    out = escalc(
        args.measure,
        data=data,
        vtype=args.vtype,
        correct=not args.uncorrected,
        add=args.add,
        to=args.to,
        drop00=args.drop00,
        flip=args.flip or False,
        slab=args.slab,
        cutoff=args.cutoff,
        append=not args.only_new,
        var_names=tuple(args.var_names),
        **_inputs(args),
    )
    write(args.output, _csv(out))
    return DONE


def _inputs(args: argparse.Namespace) -> dict[str, Any]:
    """What was given of the inputs."""
    given = {name: getattr(args, name) for name in INPUTS}
    return {name: value for name, value in given.items() if value is not None}


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False).rstrip("\n")


def _list() -> None:
    from mvmeta.effects import MEASURES
    from mvmeta.effects.layouts import LAYOUTS

    wide = max(map(len, MEASURES))
    for code, measure in MEASURES.items():
        usage = LAYOUTS[measure.layout].usage
        print(entry(f"{code:<{wide}}  ", f"{measure.description} Takes {usage}."))
