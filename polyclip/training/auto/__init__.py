"""`--method auto`: several methods within a time budget, chosen on validation."""
