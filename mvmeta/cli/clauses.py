"""The small language of repeatable options: HEAD [; WORD] [; NAME=VALUE ...]."""

from __future__ import annotations

import argparse
from collections.abc import Iterator


def clauses(text: str) -> tuple[str, Iterator[tuple[str, str]]]:
    """The head, and the pairs after it; a word without "=" comes with an empty name."""
    head, *parts = (part.strip() for part in text.split(";"))

    def pairs() -> Iterator[tuple[str, str]]:
        for part in parts:
            name, equals, value = (p.strip() for p in part.partition("="))
            yield (name, value) if equals else ("", name)

    return head, pairs()


def refuse(name: str, value: str, text: str, what: str) -> argparse.ArgumentTypeError:
    """The error for a clause of an option that cannot stay as it is."""
    clause = f"{name}={value}" if name else value
    return argparse.ArgumentTypeError(f"{clause!r} in {text!r}: {what}")
