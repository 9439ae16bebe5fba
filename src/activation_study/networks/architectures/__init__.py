"""A file for each family of networks, declared without PyTorch: what it lists as ``DECLARED`` the config can name."""
