"""From verdicts and scores to advice."""
