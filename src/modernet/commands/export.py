"""Write a trained network as safetensors, with its record as metadata.

modernet export RUN FILE.safetensors [--names modernet | torchvision | authors] [--ema]

RUN is the folder of a finished run, or the path of its record. Both ends of the roadmap, ResNet and ConvNeXt, can have
the names of torchvision or of the authors' repository, for any number of classes; timm loads those of the authors.
"""

import argparse
import sys
from pathlib import Path

from modernet.cli import exit_on_error
from modernet.errors import UserError

NAMES = ("modernet", "torchvision", "authors")
PUBLISHED_STRIDE = 4


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a finished run, or its record")
    parser.add_argument("file", type=Path, metavar="FILE", help="ends in .safetensors")
    parser.add_argument("--names", choices=NAMES, default=NAMES[0], help="of the weights; modernet by default")
    parser.add_argument("--ema", action="store_true", help="the averaged weights")
    arguments = parser.parse_args()
    if arguments.file.suffix != ".safetensors":
        raise UserError(f"FILE must end in .safetensors, got {arguments.file}")
    if not arguments.file.parent.is_dir():
        raise UserError(f"there is no folder {arguments.file.parent} to write {arguments.file.name} to")
    return arguments


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        from modernet.training.trained import export_run, finished_record, run_folder  # imports torch

        export_run(arguments.run, arguments.file, arguments.names, arguments.ema)
        stride = finished_record(run_folder(arguments.run)).config["model"]["stem_stride"]
        if arguments.names != NAMES[0] and stride != PUBLISHED_STRIDE:
            print(
                f"note: the stem has stride {stride}, that of published networks {PUBLISHED_STRIDE}; replace their "
                "stem to load this file",
                file=sys.stderr,
            )
        print(arguments.file)


if __name__ == "__main__":
    main()
