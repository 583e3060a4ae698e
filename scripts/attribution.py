"""Measure what each step of the roadmap adds: `modernet attribution` from a checkout."""

from modernet.commands.attribution import main

if __name__ == "__main__":
    main()
