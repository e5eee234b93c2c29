"""One file per benchmark. Each offers `score(aligner, request) -> Report`: rows and an aligner in, scores out."""
