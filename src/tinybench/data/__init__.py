"""The image sets and the batches made from them."""
