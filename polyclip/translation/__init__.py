"""Captions of a corpus, translated by an engine, filtered, and written as a corpus pack of their own. `make.py` is the pipeline."""
