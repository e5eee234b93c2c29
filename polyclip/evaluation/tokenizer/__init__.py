"""Tokenizer check-up: how a text encoder reads a language, before anything is trained. Start at `checkup.examine`."""
