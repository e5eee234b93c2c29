"""Storage, plug-in registry, TOML packs, processes, progress, embeddings, durations and run folders."""
