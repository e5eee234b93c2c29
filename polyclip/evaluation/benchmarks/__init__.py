"""One module per benchmark; each offers `score(aligner, request) -> BenchmarkReport`."""
