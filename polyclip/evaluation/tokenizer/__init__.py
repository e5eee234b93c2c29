"""Tokeniser doctor: what a text encoder makes of a language, before anything is trained. `checkup.examine` is the whole of it."""
