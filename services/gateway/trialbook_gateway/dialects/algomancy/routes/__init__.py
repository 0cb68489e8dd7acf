"""The routes of the algomancy API."""
