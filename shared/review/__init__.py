"""Reviewing: grants, and reading captures on the record."""
