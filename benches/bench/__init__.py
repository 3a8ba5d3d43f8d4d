"""singlemalt beside its peers, measured so that a ratio can be trusted on a noisy machine (docs/performance.md)."""
