"""A small local Functions host: the real ``function_app.py``, the platform's rules, and a clock that can be moved."""
