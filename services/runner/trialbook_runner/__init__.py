"""The runner: claims queued runs, executes their workloads and records the verdicts."""
