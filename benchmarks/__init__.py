"""Measures Trialbook's targets of speed, each beside the bare part it is made of: `python -m benchmarks`."""
