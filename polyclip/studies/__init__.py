"""Experiments that test claims of the LilT paper, one file each in `questions`.

A file offers `CLAIM`, `plan(setting) -> list[Variant]`, `table(results) -> Sheet`, `plot(results, axes)` and
`verdict(results) -> str`.
A cell is one training run; cells are shared by studies and saved one by one.
"""
