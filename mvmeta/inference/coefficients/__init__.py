"""Tests, intervals and degrees of freedom of the fixed effects."""
