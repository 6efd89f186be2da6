"""Coverage-guided fuzzing: what a stranger may send us, mutated towards code that wasn't reached yet (`make fuzz`)."""
