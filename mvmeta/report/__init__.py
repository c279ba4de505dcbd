"""A report of a fit: one HTML page that needs nothing else, for readers of a meta-analysis.

It knows results by their public names only.  jinja2 is an optional dependency:
``pip install "mvmeta[report]"``.
"""

from mvmeta.report.page import write_report

__all__ = ["write_report"]
