"""How training images are varied, in batches, on the device."""
