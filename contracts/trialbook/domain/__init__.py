"""The domain: events, state, commands and decisions as pure functions. No clock, no randomness, no IO."""
