"""Publish the roadmap on wandb: `modernet dashboard` from a checkout."""

from modernet.commands.dashboard import main

if __name__ == "__main__":
    main()
