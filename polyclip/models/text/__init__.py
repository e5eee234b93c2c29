"""Frozen multilingual text encoders: one file per source. `open_encoder("e5-small")` finds the file and says what it holds.

Every file offers `describe(argument, options) -> Tower`: what the encoder is, without loading it.
"""
