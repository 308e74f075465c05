"""Probabilities and intervals that keep what they promise, fitted on images that chose no epoch. Imports no torch."""
