"""The aligner and what it is made of: encoders, heads, methods, the feature cache."""
