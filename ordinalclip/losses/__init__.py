"""Losses: each takes the model's Output and the true ranks, and returns its terms by name."""
