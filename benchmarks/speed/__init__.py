"""How fast: problems of every size, mvmeta and its peers side by side in one run."""
