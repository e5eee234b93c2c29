"""From a result to files and tables."""
