"""The commands of `activation-study`."""
