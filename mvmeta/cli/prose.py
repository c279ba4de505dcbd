"""Text in lines for a terminal."""

import textwrap

WIDTH = 78
"""Of prose: statsmodels' summaries are as wide, and a terminal has 80 columns."""


def filled(text: str) -> str:
    """The text in lines."""
    return entry("", text)


def entry(head: str, text: str) -> str:
    """The text in lines beside a head, like the entry of a list."""
    text = " ".join(text.split())
    return textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
