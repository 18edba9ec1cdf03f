"""The study of accuracy at compression: how much of the full table's score each way to compress keeps, and what it costs."""
