"""What an activation costs in time."""
