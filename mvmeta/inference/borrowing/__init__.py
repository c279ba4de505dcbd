"""Where an estimate comes from: contributions, evidence, weights."""
