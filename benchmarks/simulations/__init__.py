"""Random designs: does the optimiser find the maximum."""
