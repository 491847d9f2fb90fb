"""The sweep: ledger, deletions and storage compared, and what was lost repaired."""
