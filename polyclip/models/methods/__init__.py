"""Alignment methods, one file each: what goes where (`polyclip.models.method.Method`). The heads and the logit scale are trained by every method."""
