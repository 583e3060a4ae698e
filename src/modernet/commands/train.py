"""Train one network of the roadmap, or with -m a sweep of them, and print the path of each record.

python train.py +step=invert_bottleneck               # on the embedded digits: seconds on a CPU
python train.py +step=convnext protocol=cifar10_micro data.root=DIR seed=1
python train.py -m +step=move_up_depthwise model.kernel_size=3,5,7,9,11
torchrun --nproc_per_node=8 train.py protocol=imagenet +step=convnext data.root=DIR
python train.py --help                                # the steps, the groups and the fields

Rerun the same command to resume an interrupted run; finished runs are skipped.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from modernet import PARENT
from modernet.cli import call_in_sweep, exit_on_error
from modernet.config import help as config_help
from modernet.config import studies
from modernet.config.experiment import build_execution, build_experiment, build_wandb, initialize_hydra
from modernet.config.overrides import explain_override
from modernet.config.search_path import CONFIGS, add_config_dir, user_config_dirs
from modernet.data.fingerprint import check_data_unchanged, resolve_data
from modernet.errors import RunFailed, UserError
from modernet.record import find_record, find_result
from modernet.runtime.agreement import agreement
from modernet.runtime.distributed import distributed_env, is_torchrun
from modernet.runtime.file_names import RECORD_FILE
from modernet.runtime.orphans import end_with_parent
from modernet.runtime.signals import catch_signals
from modernet.sweeps.slurm import requeue_on_warning
from modernet.tracking.settings import check_environment, is_agent
from modernet.training.leftovers import remove_leftovers
from modernet.training.renamed import name_warnings

MULTIRUN = {"-m", "--multirun"}

config_help.register()
studies.register()
# Idle threads of OpenMP sleep instead of spinning: two runs on the same cores would stop each other almost completely.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@hydra.main(config_path=str(CONFIGS), config_name="config", version_base="1.3")
def train(config: DictConfig) -> float | None:
    """Train or find the run; its top-1 in percent is the objective of Hydra's sweepers."""
    overrides = HydraConfig.get().overrides.task
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return call_in_sweep(partial(_train, config, overrides, is_sweep=True))
    with exit_on_error():
        return _train(config, overrides, is_sweep=False)


def _train(config: DictConfig, overrides: Sequence[str], is_sweep: bool) -> float | None:
    env = distributed_env()
    with agreement(env) as facts:
        wandb_config, execution = build_wandb(config), build_execution(config)
        experiment = resolve_data(build_experiment(config, overrides))
        folder = experiment.folder(Path(config.runs))
        record = find_result(folder, config.retry_failed, experiment.hash)
        if record is None:
            check_data_unchanged(experiment, Path(config.runs))
        facts |= {"data": experiment.data_fingerprint, "run": experiment.hash, "is_finished": record is not None}
    if record is None:
        failed = find_record(folder)  # that retry_failed trains again
        with catch_signals() as shutdown, requeue_on_warning(shutdown):
            from modernet.training.trainer import Trainer  # imports torch, which a finished run does not need

            record = Trainer.from_experiment(experiment, folder, execution, wandb_config, shutdown, overrides).train(
                failed
            )
    elif env.is_main_process:
        for warning in () if is_sweep else (*experiment.warnings, *name_warnings([(folder, record, experiment)])):
            print(f"warning: {warning}", file=sys.stderr)
        if record.status == "done":
            remove_leftovers(folder)
        if is_agent():
            from modernet.tracking.replay import replay

            replay(wandb_config, folder, experiment, record)
    if record.status == "failed":
        raise RunFailed(f"{record.reason} ({folder / RECORD_FILE}); retry_failed=true trains it again")
    if env.is_main_process and not is_sweep:
        print(folder / RECORD_FILE)
    return record.top1


def _quote_path(word: str) -> str:
    """`finetune=PATH` with quotes where there is such a path: names of runs have characters of Hydra's grammar."""
    name, _, value = word.partition("=")
    if name != "finetune" or not Path(value).exists():
        return word
    return "{}='{}'".format(name, value.replace("'", r"\'"))


def _check_flags(flags: list[str]) -> None:
    """Raises UserError for an option that neither train.py nor Hydra has."""
    known = {option for action in get_args_parser()._actions for option in action.option_strings}
    for flag in flags:
        if flag.partition("=")[0] not in known:
            raise UserError(
                f"there is no option {flag}; allowed: FIELD=VALUE, GROUP=NAME and +step=NAME without dashes, and "
                "-m, --wait, --config-dir, --help"
            )


def _compose(overrides: list[str]) -> DictConfig:
    """The config as `hydra.main` passes it; configs may refer to Hydra's section, as in ${hydra:runtime.cwd}."""
    config = hydra.compose("config", overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def _asks_nothing_of_hydra() -> bool:
    """Whether the composed config leaves everything that Hydra does around a run as it is in configs/config.yaml."""
    section = HydraConfig.get()
    job = section.job
    return not (section.mode or section.callbacks or job.env_set or job.chdir) and section.run.dir == "."


def _print_help(overrides: list[str]) -> None:
    """Print the help of configs/config.yaml. Hydra would list all of its groups for it, which takes seconds."""
    with initialize_hydra():
        _compose(overrides)
        print(HydraConfig.get().help.template)


def _take_config_dirs(words: list[str]) -> tuple[list[str], list[str]]:
    """The folders of --config-dir, or -cd, and the other words in their order."""
    # argparse would take -c, Hydra's --cfg, for the beginning of -cd.
    words = [re.sub(r"^-cd(?==|$)", "--config-dir", word) for word in words]
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", action="append", default=[])
    known, rest = parser.parse_known_args(words)
    return known.config_dir, rest


def _hydra_words(words: list[str]) -> list[str]:
    """The command line as Hydra takes it: --wait is a field, -m stands before all overrides, and a study has it."""
    wait = ["wait=true"] if "--wait" in words else []
    words = [word for word in words if word != "--wait"]
    is_multirun = any(word in MULTIRUN for word in words)
    if not any(word.startswith("-") for word in words):
        # The study sets hydra.mode too, but Hydra reads that first, and ignores the mistakes that it meets.
        is_multirun = any(word.startswith("+study=") for word in words)
    return ["--multirun"] * is_multirun + [word for word in words if word not in MULTIRUN] + wait


def main() -> None:
    with exit_on_error():
        check_environment()
        if nameless := [word for word in sys.argv[1:] if word.startswith("=")]:
            raise UserError(explain_override(nameless[0]))
        config_dirs, words = _take_config_dirs([_quote_path(word) for word in sys.argv[1:]])
        for folder in config_dirs:  # the plugin in hydra_plugins/modernet puts it on Hydra's search path
            add_config_dir(folder)
        if is_torchrun():
            end_with_parent(PARENT)
        words = _hydra_words(words)
        flags = [word for word in words if word.startswith("-")]
        _check_flags(flags)
        if {"--help", "-h"} & {*flags}:
            _print_help([word for word in words if word not in flags])
            return
        if not flags and not any("hydra" in word for word in words) and not user_config_dirs():
            # Hydra would compose the config twice, first to see whether it is of a sweep.
            with initialize_hydra():
                config = _compose(words)
                if _asks_nothing_of_hydra():
                    _train(config, words, is_sweep=False)
                    return
        sys.argv[1:] = words
        train()


if __name__ == "__main__":
    main()
