"""Deleting: what each opt-out owes, and the purge that carries it out."""
