"""Tests of coefficients: clusters, covariances and degrees of freedom by the options of `fit`."""
