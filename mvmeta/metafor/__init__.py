"""Calls written for R's metafor, read and translated: `from_metafor`."""
