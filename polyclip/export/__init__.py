"""Ways out: one file per target. Each offers TARGET (`_target.Target`): what it is, what it needs, and how it is written.

`_job.export` runs one from end to end; `_alone` holds the programs that check a finished folder with the target's library alone.
"""
