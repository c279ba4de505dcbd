"""Where results go: files, or standard output."""

from __future__ import annotations

from pathlib import Path

from mvmeta.cli.files import STANDARD_STREAM


def write(path: str, text: str) -> None:
    """Write text and the end of its last line."""
    if path == STANDARD_STREAM:
        print(text)
    else:
        Path(path).write_text(text + "\n", encoding="utf-8")
