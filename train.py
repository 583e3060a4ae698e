"""Train one network of the roadmap, or with -m a sweep of them, and print the path of each record.

python train.py +step=invert_bottleneck               # on the embedded digits: seconds on a CPU
python train.py +step=convnext protocol=cifar10_micro data.root=DIR seed=1
python train.py -m +step=move_up_depthwise model.kernel_size=3,5,7,9,11
torchrun --nproc_per_node=8 train.py protocol=imagenet +step=convnext device_batch=256 data.root=DIR
python train.py --help                                # the steps, the groups and the fields

What was stopped goes on where it was when the same command is given again.
"""

from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from modernet import experiment, record
from modernet.errors import Failed, one_line
from modernet.place import read_environment
from modernet.steps import CONFIGS, help_text

OmegaConf.register_new_resolver("roadmap_help", help_text)


@hydra.main(config_path=str(CONFIGS), config_name="config", version_base="1.3")
def main(config: DictConfig) -> None:
    with one_line():
        run, machine = experiment.from_config(config), experiment.machine(config)
        folder = run.folder(Path(config.runs))
        path = folder / record.NAME
        found = record.read(path) if path.is_file() else None
        if found is None or (found.status == "failed" and config.retry_failed):
            from modernet.run import train  # and with it torch: a finished run is found without

            found = train(run, folder, machine, config.wandb)
        if found.status == "failed":
            raise Failed(f"{path} says failed ({found.reason}); retry_failed=true tries it again")
        if read_environment().first:
            print(path)


if __name__ == "__main__":
    with one_line():
        main()
