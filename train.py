"""Train one network of the roadmap, or a sweep of them: `python train.py --help`. src/modernet/commands/train.py."""

from modernet.commands.train import main

if __name__ == "__main__":
    main()
