"""Translation engines, one file each: text in, candidates out."""
