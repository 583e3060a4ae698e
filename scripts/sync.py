"""Push the runs that wandb logged offline: `modernet sync` from a checkout."""

from modernet.commands.sync import main

if __name__ == "__main__":
    main()
