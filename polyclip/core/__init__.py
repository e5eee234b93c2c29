"""Storage, the registry of plug-ins, packs as TOML, processes, progress, vectors, durations, run folders."""
