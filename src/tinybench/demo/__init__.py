"""A page in the browser on which trained networks are asked about images."""
