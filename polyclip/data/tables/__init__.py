"""Tables of captions as people keep them, spreadsheets and annotation files, turned into corpora."""
