"""The algomancy API: sessions are workspaces, data sources are datasets, scenarios are runs."""

from trialbook_gateway.dialects.algomancy.app import dialect

__all__ = ["dialect"]
