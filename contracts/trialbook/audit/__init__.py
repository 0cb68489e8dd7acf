"""The ledger's proof: tree, checkpoints, verification. Pure: bytes in, verdicts out."""
