"""Verifying without trusting us: exports offline, a running ledger, and the work of a witness."""
