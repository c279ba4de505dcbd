"""Progress of long work: a bar after two seconds, on a terminal or in a notebook, else nothing."""

import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sized
from contextlib import AbstractContextManager
from typing import Any, TypeVar

AFTER = 2.0
"""Seconds of work before a bar appears."""

T = TypeVar("T")


class Progress(AbstractContextManager["Progress"]):
    """A count of steps that shows itself once the work takes long.

    The bar is tqdm's; without tqdm, in a pipe or in a log there is none.

    Parameters
    ----------
    what : str
        What the steps are, in a word or two.
    total : int, optional
        How many there will be.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what, self._total = what, total
        self._count, self._began = 0, time.monotonic()
        self._bar: Any = None

    def step(self, n: int = 1) -> None:
        """Count `n` more steps."""
        self._count += n
        if self._bar is not None:
            self._bar.update(n)
        elif time.monotonic() - self._began > AFTER:
            self._bar = _bar(self._what, self._total)
            self._bar.update(self._count)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Pass items on and count them; see `Progress`.

    Parameters
    ----------
    items : iterable
    what : str
    total : int, optional
        Number of items, where `items` has no length.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(what, total) as progress:
        for item in items:
            yield item
            progress.step()


class _Silent:
    def update(self, n: int) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to take away."""


def _bar(what: str, total: int | None) -> Any:
    try:
        with warnings.catch_warnings():
            # in a notebook without ipywidgets tqdm says so, once for every kernel
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        return _Silent()
    if not (sys.stderr.isatty() or "notebook" in tqdm.__module__):
        return _Silent()
    return tqdm(desc=what, total=total, leave=False)
