"""A trained model behind MLflow, and behind a page of its own."""
