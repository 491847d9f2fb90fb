"""Sharing data: the toggle, the consent that follows from it, and the captures that it allows."""
