"""The marketplace's API: experiments under their names, mapped onto runs of the workload ``marketplace``."""

from trialbook_gateway.dialects.marketplace.app import dialect

__all__ = ["dialect"]
