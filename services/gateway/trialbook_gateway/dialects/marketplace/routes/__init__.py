"""The routes: those documented for the original, the live stream, and those beyond it."""
