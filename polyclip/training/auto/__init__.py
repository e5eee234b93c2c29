"""`--method auto`: several methods within a budget of time, chosen on validation."""
