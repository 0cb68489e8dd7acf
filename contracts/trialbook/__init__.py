"""Trialbook: run experiments and prove what happened."""

from trialbook.workload import Cancelled, Context, Failure, Paused, Workload, workload

__version__ = "0.1.0"
__all__ = ["Cancelled", "Context", "Failure", "Paused", "Workload", "__version__", "workload"]
