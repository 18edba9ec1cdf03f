"""From results to Markdown: tables, targets, and the documents they stand in."""
