"""The marginal covariance M(theta): exact backends behind one small contract."""
