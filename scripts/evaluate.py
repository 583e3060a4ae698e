"""Evaluate a trained network: `modernet evaluate` from a checkout."""

from modernet.commands.evaluate import main

if __name__ == "__main__":
    main()
