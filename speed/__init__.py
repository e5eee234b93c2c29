"""Benchmarks of speed, memory and energy against other libraries: `python -m speed.run`."""
