"""Alignment methods, one file each, defined by a `polyclip.models.method.Method`.

Every method trains the projection heads and the logit scale, unless it solves them in closed form.
"""
