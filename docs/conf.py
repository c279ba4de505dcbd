"""Sphinx configuration: warnings are errors, nothing is fetched from the network."""

import sys
from pathlib import Path

from mvmeta._version import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "mvmeta"
author = "the mvmeta developers"
copyright = "2026, the mvmeta developers"
version = release = __version__

extensions = [
    "mathml",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
exclude_patterns = ["_build", ".jupyter_cache", "jupyter_execute", "reference/agreement.md"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# A tutorial that no longer runs must fail, also when only the package changed.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_show_tb = True
nb_merge_streams = True

autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
# A name in a docstring that does not exist is a broken link.
nitpicky = True

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_title = "mvmeta"
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
}
