"""Embedding layers for recommender models: pure arrays, explicit forward and backward."""

__version__ = "0.1.0"
