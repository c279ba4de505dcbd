"""Models whose rows come in batches: read again at every pass, or kept by workers."""
