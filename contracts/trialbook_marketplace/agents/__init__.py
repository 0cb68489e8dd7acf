"""Customers and businesses: who decides (policies), who executes (agents), who wakes whom (wakeups)."""
