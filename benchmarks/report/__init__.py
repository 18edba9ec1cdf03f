"""Results in Markdown: tables, targets, and the documents that hold them."""
