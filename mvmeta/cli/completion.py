"""`mvmeta completion`: what makes a shell complete the command's words."""

from __future__ import annotations

import argparse
from typing import Any

from mvmeta.cli.exits import DONE
from mvmeta.errors import MvmetaError

SHELLS = ("bash", "zsh", "fish", "tcsh")

EXAMPLES = """\
examples:
  mvmeta completion bash > ~/.local/share/bash-completion/completions/mvmeta
  mvmeta completion zsh > "${fpath[1]}/_mvmeta"
  mvmeta completion fish > ~/.config/fish/completions/mvmeta.fish

needs shtab, once: pip install "mvmeta[completion]"
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "completion",
        help="print what makes a shell complete commands and options",
        description="Print a script that makes a shell complete commands, options and files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from mvmeta.cli.main import build_parser

    try:
        import shtab
    except ImportError:
        raise MvmetaError(
            'completion needs shtab, which is not installed: pip install "mvmeta[completion]"'
        ) from None
    parser = build_parser()
    _complete_files(parser, shtab.FILE)
    print(shtab.complete(parser, args.shell))
    return DONE


def _complete_files(parser: argparse.ArgumentParser, files: Any) -> None:
    """Have the names of files completed wherever one is expected."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _complete_files(command, files)
        elif action.metavar == "FILE" or action.dest == "data":
            action.complete = files  # type: ignore[attr-defined]
