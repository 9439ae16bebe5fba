"""From tables to estimates."""
