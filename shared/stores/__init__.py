"""Where data lies: an adapter for each of the ports, on Azure, and in-memory fakes that pass the same contract tests (D9)."""
