"""Metrics, intervals, benchmarks, overlap of training and test data."""
