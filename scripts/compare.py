"""Compare variants: `modernet compare` from a checkout."""

from modernet.commands.compare import main

if __name__ == "__main__":
    main()
