"""Pretrained two-tower models whose encoders and projections are used as they are."""
