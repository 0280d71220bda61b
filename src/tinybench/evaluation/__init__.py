"""Trained networks on images: logits, and numbers made from logits."""
