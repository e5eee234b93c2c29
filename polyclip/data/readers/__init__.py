"""One file per storage format. A corpus reader offers `languages`, `styles`, `read`, `split_concepts` and `pictures` of a folder."""
