"""What was observed, as frozen arrays: y, X, V, the random terms and their layout."""
