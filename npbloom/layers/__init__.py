"""npbloom."""
