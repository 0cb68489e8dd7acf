"""The workloads that come with the runner."""
