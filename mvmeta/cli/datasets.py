"""`mvmeta datasets`: list, describe and export the data sets."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mvmeta.cli.exits import DONE
from mvmeta.cli.output import write
from mvmeta.cli.prose import entry

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """\
examples:
  mvmeta datasets                                      list them
  mvmeta datasets lim2014                              describe one
  mvmeta datasets lim2014 --csv lim.csv --correlation tree.csv
  mvmeta datasets berkey1998 --csv trials.csv --covariance v.csv
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "datasets",
        help="list, describe or export the data sets",
        description="List the data sets, describe one of them, or write it to files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name", nargs="?", help="describe this one")
    parser.add_argument("--csv", metavar="FILE", help='write it as CSV ("-": standard output)')
    parser.add_argument(
        "--correlation", metavar="FILE", help="write the known correlations that belong to it"
    )
    parser.add_argument(
        "--covariance",
        metavar="FILE",
        help="write the published covariances of its sampling errors, for --variance-matrix",
    )
    parser.add_argument("--distance", metavar="FILE", help="write the distances that belong to it")
    parser.set_defaults(run=run, usage=parser.error)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from mvmeta import datasets

    exports: list[tuple[str | None, Callable[[str], str]]] = [
        (args.csv, lambda name: datasets.load(name).to_csv(index=False)),
        (args.correlation, lambda name: datasets.correlation(name).to_csv()),
        (args.covariance, _covariance),
        (args.distance, lambda name: datasets.distance(name).to_csv()),
    ]
    wanted = [(path, render) for path, render in exports if path is not None]
    if args.name is None:
        if wanted:
            args.usage("the options that write a file need the name of a data set")
        _list(datasets.describe())
    elif not wanted:
        _describe(datasets.load(args.name))
    for path, render in wanted:
        write(path, render(args.name).rstrip("\n"))
    return DONE


def _covariance(name: str) -> str:
    import pandas as pd
    from scipy.linalg import block_diag

    from mvmeta import datasets

    v = block_diag(*datasets.covariance_blocks(name))
    return pd.DataFrame(v).to_csv(index=False, header=False)


def _list(table: pd.DataFrame) -> None:
    wide = max(map(len, table.index))
    print(f"{'name':<{wide}}  rows  studies  description")
    for name, row in table.iterrows():
        head = f"{name:<{wide}}  {row['rows']:>4}  {row['studies']:>7}  "
        print(entry(head, row["description"]))
    print("\nmvmeta datasets NAME describes one of them; --csv FILE writes it.")


def _describe(frame: pd.DataFrame) -> None:
    about = frame.attrs
    print(f"{about['name']}: {about['title']} ({len(frame)} rows)\n")
    print(entry("", about["description"]) + "\n")
    wide = max(map(len, about["variables"]))
    for name, meaning in about["variables"].items():
        print(entry(f"  {name:<{wide}}  ", meaning))
    print()
    for key in ("structure", "measures", "source", "licence"):
        text = about[key] if isinstance(about[key], str) else ", ".join(about[key])
        print(entry(f"{key.capitalize() + ':':<11}", text))
