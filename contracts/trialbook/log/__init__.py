"""Adapters of the ledger: in memory for tests, on NATS JetStream for real. One law-test holds for both."""
