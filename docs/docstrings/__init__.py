"""The rules of `check_docstrings.py`: which names are public, and what a docstring says."""
