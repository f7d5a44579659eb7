"""The studies as a tool: measure a reader's own images, and say what to believe of it."""
