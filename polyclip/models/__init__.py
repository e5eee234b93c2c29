"""The model and what it is made of: encoders, projection heads, methods, the feature cache."""
