"""Where data lies: the ports, their Azure adapters, and in-memory fakes that pass the same contract tests (D9)."""
