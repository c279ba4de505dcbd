"""What is wrong with an output is said before time is spent on the fit."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mvmeta.cli.files import STANDARD_STREAM
from mvmeta.errors import DataError


def check_outputs(args: argparse.Namespace) -> None:
    """Formats of plots, kinds of plots in the report, folders, and packages that are needed.

    Raises
    ------
    MvmetaError
        For whatever would stop an output of `mvmeta fit` after the fit, and is known before it.
    """
    plots = args.plot or []
    for picture in plots:
        picture.check()
    if args.report is not None:
        _check_report(args.report_plots)
    written = (args.json, args.markdown, args.latex, args.report, *(p.path for p in plots))
    for path in written:
        _check_folder(path)


def _check_report(kinds: Sequence[str] | None) -> None:
    from mvmeta.model.results.report_methods import writer

    writer()
    if kinds is not None:
        from mvmeta.report.pictures import check_kinds

        check_kinds(kinds)


def _check_folder(path: str | None) -> None:
    if path is None or path == STANDARD_STREAM:
        return
    folder = Path(path).parent
    if not folder.is_dir():
        raise DataError(f"cannot write {path}: there is no folder {str(folder)!r}; make it first")
    if Path(path).is_dir():
        raise DataError(f"cannot write {path}: it is a folder; add the name of a file")
