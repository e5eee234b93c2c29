"""Corpora, their readers and shards, image-caption pairs, and images."""
