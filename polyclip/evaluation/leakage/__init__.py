"""Overlap of training data and test splits."""
