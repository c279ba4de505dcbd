"""A fit, and what every other question about it is made of."""
