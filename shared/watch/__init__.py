"""Watching: whether the promises hold, from what that follows, and how it is told."""
