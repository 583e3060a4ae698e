"""Trials of scripts/reliability.py, a module per part."""
