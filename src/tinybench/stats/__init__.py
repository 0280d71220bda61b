"""Intervals, significance tests, similarity of classes."""
