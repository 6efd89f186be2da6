"""What the connectors share: files that are whole or absent, dead letters, arrivals, figures, the loop, options."""
