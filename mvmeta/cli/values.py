"""How the values of options are read: each a type for argparse."""

from __future__ import annotations

import argparse


def number(text: str) -> float:
    """A number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text.strip()!r} is not a number") from None


def numbers(text: str) -> list[float]:
    """Numbers with commas between them."""
    return [number(part) for part in text.split(",")]


def number_or_name(text: str) -> float | str:
    """A number where it is one, else the text."""
    try:
        return float(text)
    except ValueError:
        return text


def names(text: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in text.split(",")]


def probability(text: str) -> float:
    """A number between 0 and 1."""
    value = number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def positive(text: str) -> float:
    """A positive number."""
    value = number(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def positive_int(text: str) -> int:
    """A positive whole number."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)
