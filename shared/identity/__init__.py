"""Identity: who calls, by which token, and what that allows."""
