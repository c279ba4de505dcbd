"""Intervals, profiles and limits of the variance components."""
