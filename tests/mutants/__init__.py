"""Small changes to the rules, one by one; the fast tests must notice each (docs/simulation.md)."""
