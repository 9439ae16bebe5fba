"""What is asked: config, runs, and what made which result."""
