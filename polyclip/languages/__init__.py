"""Language packs: schema, codes, text normalization, identification and drafts."""
