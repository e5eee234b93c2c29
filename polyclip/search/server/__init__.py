"""A page on which people look for pictures in their own language: `polyclip serve`."""
