"""A checkpoint's network in formats that other programs read, each compared with the checkpoint before it is kept."""
