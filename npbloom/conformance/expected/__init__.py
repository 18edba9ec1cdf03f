"""The right answers, by `npbloom.reference` in float64, and how far from them a right backend may be."""
