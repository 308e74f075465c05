"""Temperature scaling and conformal intervals of ranks, fitted on images that selected no epoch. Imports no torch.

Imports `scoring` and `errors`. The keys of `calibration.json` are defined in `calibration`, the sets in `conformal`.
"""
