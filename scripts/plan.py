"""List the runs of a sweep and estimate their duration: `modernet plan` from a checkout."""

from modernet.commands.plan import main

if __name__ == "__main__":
    main()
