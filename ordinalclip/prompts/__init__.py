"""Prompts: how ranks become sentences of token embeddings. One file a kind; the configuration names the class."""
