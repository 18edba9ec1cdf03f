"""Expected outputs, by `npbloom.reference` in float64, and their tolerances."""
