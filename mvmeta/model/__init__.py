"""The facade: formulas, data frames and statsmodels' conventions."""
