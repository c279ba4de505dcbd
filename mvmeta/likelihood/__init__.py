"""ML and REML log-likelihood with gradient and curvature."""
