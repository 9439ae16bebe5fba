"""Claims, their tests and verdicts."""
