"""Copy finished runs to results/studies: `modernet freeze` from a checkout."""

from modernet.commands.freeze import main

if __name__ == "__main__":
    main()
