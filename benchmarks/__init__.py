"""Studies of mvmeta that are too long to be tests; see README.md."""
