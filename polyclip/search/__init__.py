"""Pictures found by words."""
