"""Marketplace experiments as a pure library: datasets, protocol, search, agents, runs, analytics and export.

Nothing here talks to a network, a message bus or a web framework. The runner executes
``experiment.run_experiment``; the gateway validates requests with ``config`` and ``datasets`` and answers
from ``analytics``.
"""
