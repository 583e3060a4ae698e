"""Download a data set into the folder that modernet reads it from."""

from modernet.commands.get_data import main

if __name__ == "__main__":
    main()
