"""Where estimates come from, in tables and sentences."""
