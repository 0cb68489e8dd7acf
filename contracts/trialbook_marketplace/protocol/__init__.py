"""The market's rules: messages, actions, and the engine that commits them (facts, sections 1 and 6)."""
