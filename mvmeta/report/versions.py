"""The software that made a report."""

from __future__ import annotations

import platform
from importlib import metadata

from mvmeta._version import __version__

PACKAGES = ("numpy", "scipy", "pandas", "statsmodels", "patsy", "narwhals", "matplotlib", "jinja2")


def python_version() -> str:
    """Of the interpreter."""
    return platform.python_version()


def versions() -> list[tuple[str, str]]:
    """Names and versions, of what is installed."""
    out = [("mvmeta", __version__), ("Python", python_version())]
    for package in PACKAGES:
        try:
            out.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return out
