"""The ledger's proof: the tree over the facts, kept in tiles apart from the tables, checkpoints, and verification."""
