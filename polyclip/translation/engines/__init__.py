"""Translation engines, one file each; `polyclip.translation.engine.Translator` describes their contract."""
