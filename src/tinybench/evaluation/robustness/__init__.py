"""Accuracy on corrupted, attacked and partly hidden test images."""
