"""From data to results in one call: short sequences of what the package offers in steps."""
