"""What the command says on standard error: a line each, in words of the shell."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from mvmeta.cli.wording import in_the_shell


def say(kind: str, message: str) -> None:
    """Print a message of a kind ("error", "warning", "note") to standard error."""
    print(f"mvmeta: {kind}: {in_the_shell(message)}", file=sys.stderr)


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Warnings as one line each, without the place in the source they came from."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        say("warning", " ".join(str(message).split()))

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for category in (DeprecationWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Say what is being done, on a terminal and only as long as it takes."""
    if not sys.stderr.isatty():
        yield
        return
    text = f"mvmeta: {what} ..."
    print(text, end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print(" " * len(text), end="\r", file=sys.stderr, flush=True)
