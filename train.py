"""Train one network of the roadmap, or with -m a sweep of them, and print the path of each record.

python train.py +step=invert_bottleneck               # on the embedded digits: seconds on a CPU
python train.py +step=convnext protocol=cifar10_micro data.root=DIR seed=1
python train.py -m +step=move_up_depthwise model.kernel_size=3,5,7,9,11
python train.py --help                                # the steps, the groups and the fields
"""

import json
from dataclasses import asdict
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from modernet import experiment, record
from modernet.errors import one_line
from modernet.experiment import Experiment
from modernet.steps import CONFIGS, help_text

OmegaConf.register_new_resolver("roadmap_help", help_text)


def train(run: Experiment, folder: Path, on: str) -> Path:
    """The experiment from data to record, on the device `on`; returns the record's path in `folder`."""
    import torch  # from here on: a finished run is found without

    from modernet import data
    from modernet.costs import cost
    from modernet.device import device_name, pick_device
    from modernet.fit import check, fit
    from modernet.log import logging_to
    from modernet.model import build, initialize
    from modernet.rng import Purpose, derive

    device = pick_device(on)
    train_set, test_set = (images.to(device) for images in data.load(run.data))
    check(run.model, run.recipe, run.data, len(train_set))
    price = cost(run.model, run.data.image_size, run.data.classes)

    torch.manual_seed(derive(run.seed, Purpose.INIT))
    model = build(run.model, run.data.classes, run.recipe.stochastic_depth)
    initialize(model, run.recipe.init, run.recipe.init_std)
    model = model.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    folder.mkdir(parents=True, exist_ok=True)
    record.write_text(folder / "config.yaml", OmegaConf.to_yaml(run.science))
    with logging_to(folder / "train.log") as log, (folder / "metrics.jsonl").open("w") as metrics:
        log.info(
            f"{run.variant}, seed {run.seed}, {run.protocol}: {price.params:,} parameters, {price.gmacs:.4f} GMACs"
        )
        epochs = []
        for epoch in fit(model, train_set, test_set, run.recipe, run.data, run.seed):
            epochs.append(epoch)
            metrics.write(json.dumps(asdict(epoch)) + "\n")
            metrics.flush()
            log.info(epoch)
        last, seconds = epochs[-1], sum(epoch.train_seconds for epoch in epochs)
        log.info(f"done: top-1 {last.top1:.2f} %, {seconds:.1f} s of training")

    finished = record.Record(
        step=run.step,
        variant=run.variant,
        protocol=run.protocol,
        size=run.size,
        seed=run.seed,
        data=run.data.name,
        recipe=run.recipe.name,
        params=price.params,
        gmacs=price.gmacs,
        top1=last.top1,
        top5=last.top5,
        val_loss=last.val_loss,
        epochs=len(epochs),
        train_seconds=seconds,
        images_per_second=sum(epoch.train_seconds * epoch.images_per_second for epoch in epochs) / seconds,
        device=device_name(device),
        torch=torch.__version__,
        commit=record.commit(),
        status="done",
        config=run.science,
    )
    return record.write(folder, finished)


@hydra.main(config_path=str(CONFIGS), config_name="config", version_base="1.3")
def main(config: DictConfig) -> None:
    with one_line():
        run = experiment.from_config(config)
        folder = run.folder(Path(config.runs))
        path = folder / record.NAME
        print(path if path.is_file() else train(run, folder, config.device))


if __name__ == "__main__":
    with one_line():
        main()
