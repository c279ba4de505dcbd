"""Fits whose rows are never in memory all at once."""
