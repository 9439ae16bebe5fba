"""A reproducible study of activation functions."""
