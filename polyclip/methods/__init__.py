"""Alignment methods: what is trained inside the towers, besides the two heads and the logit scale that every method trains.

A method is a file with `ABOUT`, one line; `GATED`, whether the heads have a gated branch; `TOWER`, the vision tower it takes unless
another is named (one that is trained inside, or read in a hurry, is a small one); and `install`: given a built tower, it puts in what it
needs and returns the parameters to train there (`None` leaves the towers untouched).
"""
