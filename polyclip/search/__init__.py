"""Image search: indexes of image folders, text and image queries, zero-shot labels, duplicates, and a web server."""
