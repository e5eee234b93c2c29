"""Web page for image search in any language: `polyclip serve`."""
