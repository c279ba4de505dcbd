"""Many outcomes of one design."""
