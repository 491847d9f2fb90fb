"""Where data lies: the Azure adapters of the ports, and in-memory fakes that pass the same contract tests (D9)."""
