"""The study of smaller tables: what each way to shrink them keeps of the score, beside fewer columns and other fair opponents."""
