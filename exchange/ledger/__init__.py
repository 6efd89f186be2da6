"""The transparency log over the trace: tree, tiles, checkpoints, witnesses, evidence."""
