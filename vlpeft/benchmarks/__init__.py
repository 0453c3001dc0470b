"""What the benchmarks share: timing in turn, and plain restatements of what released codes do."""
