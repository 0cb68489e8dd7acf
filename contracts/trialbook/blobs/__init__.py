"""Content-addressed bytes: in memory for tests, in the BLOBS stream for real. One law-test holds for both."""
