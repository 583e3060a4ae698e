"""Write a trained network as safetensors: `modernet export` from a checkout."""

from modernet.commands.export import main

if __name__ == "__main__":
    main()
