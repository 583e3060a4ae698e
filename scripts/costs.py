"""Print parameters and GMACs of every network: `modernet costs` from a checkout."""

from modernet.commands.costs import main

if __name__ == "__main__":
    main()
