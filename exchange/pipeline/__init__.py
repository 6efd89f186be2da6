"""What the hop decides about one batch: pure, deterministic, from verdicts to records."""
