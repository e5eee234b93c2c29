"""The paper's claims as experiments, one file each: which cells are run, one table, one plot, one sentence.

A file offers `CLAIM`, `plan(setting) -> list[Variant]`, `table(results) -> Table`, `plot(results, axes)` and `verdict(results) -> str`.
A cell is one training run; cells are shared by studies and kept one by one.
"""
