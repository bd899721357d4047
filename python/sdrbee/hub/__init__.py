"""Models of one's own: a local store with names, and pulling models into it."""
