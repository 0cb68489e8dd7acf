"""One run as a package: RO-Crate metadata, signed provenance, proofs; and the check of such a package without us."""
