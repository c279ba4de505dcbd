"""Tests; a package, since other distributions leave a `tests` of their own in site-packages."""
