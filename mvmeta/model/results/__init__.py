"""The results of a fit: one file for each group of methods, and the tables they return."""
