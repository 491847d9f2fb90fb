"""What the service costs, next to what the bare storage calls cost: ``python -m bench``."""
