"""Write the report, one HTML file: `modernet report` from a checkout."""

from modernet.commands.report import main

if __name__ == "__main__":
    main()
