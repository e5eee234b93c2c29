"""Frozen vision towers: one file per source. Every file offers `describe(argument, options) -> Tower`."""
