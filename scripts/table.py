"""Print the results table of the records below a folder: `modernet table` from a checkout."""

from modernet.commands.table import main

if __name__ == "__main__":
    main()
