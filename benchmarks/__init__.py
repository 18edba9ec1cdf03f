"""npbloom beside its peers: one command measures, writes JSON, tables and plots. `python -m benchmarks --help`."""
