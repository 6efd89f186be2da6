"""Reproducible benchmarks. `python -m bench [names…]`; each prints a ratio to what one bare core does."""
