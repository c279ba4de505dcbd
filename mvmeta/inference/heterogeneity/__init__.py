"""How much true effects differ: QE, I2, R2 and relatives, with limits."""
