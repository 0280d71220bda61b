"""From a checkpoint and images to logits; used by training, evaluation, export and prediction alike."""
