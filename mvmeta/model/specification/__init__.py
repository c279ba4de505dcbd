"""What a user asks for, and the data it meets: from formulas and columns to a problem."""
