"""A file for each kind of quantity; what a file lists as ``DECLARED`` is measured, printed and can be claimed."""
