"""Trainable components that a method puts into frozen encoders, projection heads, and the rules for where they go."""
