"""The story of one thing: facts as sentences, and the story as JSON, text and a page."""
