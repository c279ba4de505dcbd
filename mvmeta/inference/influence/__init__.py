"""What single rows and groups change, left out or looked at."""
