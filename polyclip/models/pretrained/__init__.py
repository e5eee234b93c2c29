"""Pretrained two-tower models as encoders."""
