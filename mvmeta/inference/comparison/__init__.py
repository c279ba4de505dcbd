"""Likelihoods of fits beside each other."""
