"""Alignment methods: what is trained inside the towers, besides the heads and the logit scale that every method trains.

A method is a file with
- `ABOUT`, one line;
- `GATED`, whether the heads have a gated branch, and `MEMBERS`, how many heads a side has;
- `TOWER`, the vision tower it takes unless another is named: a small one where it is trained inside;
- `install`: given a built tower, it puts in what it needs and returns the parameters to train there; `None` leaves the towers untouched.
"""
