"""The paper's own repository: what its configurations and checkpoints mean here."""
