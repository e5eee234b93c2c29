"""Training: from a request to trained weights."""
