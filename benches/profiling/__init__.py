"""A flame graph of the server under a scenario of the benchmark (tools/profile)."""
