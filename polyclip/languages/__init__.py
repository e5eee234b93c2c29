"""Language packs: schema, codes, normalization, identification, drafts."""
