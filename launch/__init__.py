"""Planning, checking and submitting runs."""
