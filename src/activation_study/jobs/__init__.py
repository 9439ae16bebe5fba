"""What the workflow's rules do."""
