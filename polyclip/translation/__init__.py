"""Machine translation of a corpus' captions into a corpus pack; `run.py` is the pipeline."""
