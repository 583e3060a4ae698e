"""The parts of scripts/benchmark.py; each returns rows, with ratios of our rates to those of others."""
