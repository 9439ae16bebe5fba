"""The training of a run's replicas."""
