"""The tables that a study writes: what their columns mean, and how they are written, read and checked."""
