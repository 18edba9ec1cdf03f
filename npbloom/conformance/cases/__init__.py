"""The questions: `Case` and `Backend`, structures of lookups, values to fill them with, steps of optimizers."""
