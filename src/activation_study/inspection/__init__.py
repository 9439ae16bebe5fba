"""A user's own model without a study: what its activations do, others in their places, how it should begin."""
