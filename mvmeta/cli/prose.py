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
    rest = " " * len(head)
    return textwrap.fill(
        text, WIDTH, initial_indent=head, subsequent_indent=rest, break_on_hyphens=False
    )
