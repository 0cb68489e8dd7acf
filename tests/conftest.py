"""Fixtures shared by all test folders. Keep it minimal: a folder's own fixtures live in its own conftest."""
