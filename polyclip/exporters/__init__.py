"""Export of runs to other libraries: one file per target in `targets`, each with a `TARGET` (`base.Target`).

`run.export` exports a run and checks the result; `_readers` holds the programs that read it back with the target's
library alone.
"""
