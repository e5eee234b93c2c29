"""Speed, memory and energy beside other libraries: `python -m speed.run`."""
