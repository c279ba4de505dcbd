"""From study results to sampling covariances and weights."""
