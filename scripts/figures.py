"""Plot the records below a folder: `modernet figures` from a checkout."""

from modernet.commands.figures import main

if __name__ == "__main__":
    main()
