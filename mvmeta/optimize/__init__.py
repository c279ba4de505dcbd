"""From starts to the certified maximum of the likelihood."""
