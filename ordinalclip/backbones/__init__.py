"""Pretrained image and text towers, their weights and how images enter them."""
