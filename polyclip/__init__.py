"""A language gets a CLIP of its own."""
