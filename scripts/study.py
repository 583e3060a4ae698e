"""Write the generated tables and figures of results/STUDY.md: `modernet study` from a checkout."""

from modernet.commands.study import main

if __name__ == "__main__":
    main()
