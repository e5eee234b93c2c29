"""Export targets: one file for each library that a run can be exported to."""
