"""The ledger outside its stream: segments in files or object storage, their manifest, and reads that span both."""
