"""Predicted means, new true effects and random effects."""
