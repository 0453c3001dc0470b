"""Engine: hooks, loops and optimiser wrappers of a run, and what the launching tools share."""
