"""Pure functions of a fit: tests, intervals, predictions, diagnostics."""
