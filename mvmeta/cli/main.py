"""The parser of the command line, and what becomes of errors."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence

from mvmeta._version import __version__
from mvmeta.cli import completion, datasets, demo, escalc, fit, translate
from mvmeta.cli.exits import FAILED, INTERRUPTED, NOT_CONVERGED, PIPE_CLOSED
from mvmeta.cli.messages import one_line_warnings, say
from mvmeta.errors import ConvergenceError, MvmetaError

COMMANDS = (fit, escalc, translate, datasets, demo, completion)
"""Modules of the commands, in the order of the help: each has `add(commands)`."""

EPILOG = """\
examples:
  mvmeta demo
  mvmeta datasets toy --csv toy.csv
  mvmeta fit toy.csv -f "d ~ C(Category) - 1" --variance Variance --groups Study
  mvmeta COMMAND --help

exit codes:
  0  done, perhaps with warnings
  1  the data, the specification or a file do not allow it; the message says why
  2  wrong usage
  3  the fit did not converge
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the name of the program; those of the process unless given.

    Returns
    -------
    int
        One of `mvmeta.cli.exits`.

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
        say("error", str(error).rstrip())
        return NOT_CONVERGED if isinstance(error, ConvergenceError) else FAILED
    except BrokenPipeError:
        _abandon_stdout()
        return PIPE_CLOSED
    except OSError as error:
        if error.filename is None:
            _abandon_stdout()
        say("error", f"cannot write {error.filename or 'standard output'}: {error.strerror}")
        return FAILED
    except MemoryError:
        say("error", "not enough memory; mvmeta.MetaMixedLM.from_batches reads data in pieces")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}{_as_options(rest)}")
    with one_line_warnings():
        code: int = args.run(args)
    return code


def _as_options(rest: Sequence[str]) -> str:
    """How arguments are written that were given as in Python or R, name=value."""
    pairs = [text.split("=", 1) for text in rest if re.fullmatch(r"[A-Za-z]\w*=.+", text)]
    if not pairs:
        return ""
    return f"; an option and its value are written {' '.join(f'--{n} {v}' for n, v in pairs)}"


def _abandon_stdout() -> None:
    """Let the flush at exit go nowhere: the reader of standard output has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _CommandsHelp(argparse.RawDescriptionHelpFormatter):
    """Every command on a line with what it does: argparse forgets that commands are indented."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            needed = max(map(len, action.choices)) + self._current_indent + self._indent_increment
            self._action_max_length = max(self._action_max_length, needed)


def build_parser() -> argparse.ArgumentParser:
    """The parser with all its commands."""
    parser = argparse.ArgumentParser(
        prog="mvmeta",
        description="Multilevel and multivariate meta-analysis.",
        epilog=EPILOG,
        formatter_class=_CommandsHelp,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mvmeta {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add(commands)
    return parser
