"""Train one network of the roadmap, or with -m a sweep of them, and print the path of each record.

python train.py +step=invert_bottleneck               # on the embedded digits: seconds on a CPU
python train.py +step=convnext protocol=cifar10_micro data.root=DIR seed=1
python train.py -m +step=move_up_depthwise model.kernel_size=3,5,7,9,11 hydra/launcher=joblib
torchrun --nproc_per_node=8 train.py protocol=imagenet +step=convnext device_batch=256 data.root=DIR
python train.py --help                                # the steps, the groups and the fields

What was stopped goes on where it was when the same command is given again, and what is done is found.
"""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from modernet import experiment, record
from modernet.errors import Failed, for_the_sweep, one_line
from modernet.place import read_environment
from modernet.slurm import requeued
from modernet.steps import CONFIGS, help_text
from modernet.stop import listening

OmegaConf.register_new_resolver("roadmap_help", help_text)


@hydra.main(config_path=str(CONFIGS), config_name="config", version_base="1.3")
def main(config: DictConfig) -> None:
    swept = HydraConfig.get().mode == RunMode.MULTIRUN
    with for_the_sweep() if swept else one_line():
        run, machine = experiment.from_config(config), experiment.machine(config)
        folder = run.folder(Path(config.runs))
        found = record.found(folder)
        if found is None or (found.status == "failed" and config.retry_failed):
            with listening() as stop, requeued(stop):
                from modernet.run import train  # and with it torch: a finished run is found without

                found = train(run, folder, machine, config.wandb, stop)
        if found.status == "failed":
            raise Failed(f"{found.reason} ({folder / record.NAME}); retry_failed=true tries it again")
        if read_environment().first and not swept:
            print(folder / record.NAME)


if __name__ == "__main__":
    with one_line():
        main()
