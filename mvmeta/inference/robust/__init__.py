"""Cluster-robust covariances of the fixed effects, and their degrees of freedom."""
