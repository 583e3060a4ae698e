"""One run, from an experiment to its record: validate -> lock -> build -> resume -> fit -> finalize."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from modernet.config.experiment import Experiment
from modernet.config.schema import ExecutionConfig
from modernet.data.loader import Loader, build_loader
from modernet.errors import DiskFull, Interrupted, NonFiniteLoss, RunLocked, UserError, describe
from modernet.models.flops import model_cost
from modernet.models.network import min_image_size
from modernet.record import METRICS_FILE, Epoch, Record, find_record, flatten, write_record
from modernet.runtime.collectives import any_rank, process_group
from modernet.runtime.device import device_name, select_device
from modernet.runtime.distributed import DistributedEnv, batch_layout, distributed_env
from modernet.runtime.io import write_bytes, write_text
from modernet.runtime.lock import remove_lock, run_lock
from modernet.runtime.logging import logger, run_logging
from modernet.runtime.provenance import current_commit
from modernet.runtime.signals import ShutdownSignal
from modernet.tracking.logger import WandbLogger, WandbMode, wandb_run
from modernet.training import checkpoint
from modernet.training.checkpoint import CheckpointManager
from modernet.training.loop import fit
from modernet.training.state import TrainPlan, TrainState, build_state, uses_bf16, uses_compile

WEIGHTS_FILE = "model.pt"  # state dicts: `model`, and `ema_model` where the recipe has EMA
CONFIG_FILE = "config.yaml"
LOG_FILE = "train.log"


class Trainer:
    """Trains one experiment in its folder. `train` is the whole run; each stage is a method and can be called alone."""

    device: torch.device
    loader: Loader
    plan: TrainPlan
    state: TrainState
    checkpoints: CheckpointManager
    wandb: WandbLogger

    def __init__(
        self,
        experiment: Experiment,
        folder: Path,
        execution: ExecutionConfig,
        wandb_mode: WandbMode,
        shutdown: ShutdownSignal,
        env: DistributedEnv,
    ) -> None:
        self.experiment, self.folder, self.execution = experiment, folder, execution
        self.wandb_mode: WandbMode = wandb_mode if env.is_main_process else "disabled"
        self.shutdown, self.env = shutdown, env
        self.exit_stack = ExitStack()  # the process group, the lock, the log and the wandb run

    @classmethod
    def from_experiment(
        cls,
        experiment: Experiment,
        folder: Path,
        execution: ExecutionConfig | None = None,
        wandb_mode: WandbMode = "disabled",
        shutdown: ShutdownSignal | None = None,
    ) -> "Trainer":
        """A trainer for this process; rank and world size come from the environment."""
        execution, shutdown = execution or ExecutionConfig(), shutdown or ShutdownSignal()
        return cls(experiment, folder, execution, wandb_mode, shutdown, distributed_env())

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.exit_stack.__exit__(*exception)

    def train(self) -> Record:
        """Train to the end, from the last checkpoint if there is one, and write the record.

        The record's status is `failed` where the loss became non-finite or anything unexpected was raised. Raises
        UserError for invalid input, RunLocked where another process trains the run, and Interrupted or DiskFull
        where the same command will resume.
        """
        with self, _explain_full_disk(self.folder):
            self.validate()
            self.lock()
            record = find_record(self.folder)
            if record and record.status == "done":  # by another process since this one started
                return record
            self.build()
            self.resume()
            failure = self.fit()
            return self.finalize(failure)

    def validate(self) -> None:
        """Load the data and check everything that can be checked before a file is written. Raises UserError."""
        experiment, execution = self.experiment, self.execution
        model, recipe, data = experiment.model, experiment.recipe, experiment.data
        self.device = select_device(execution.device, self.env.local_rank)
        self.exit_stack.enter_context(process_group(self.env, self.device))
        layout = batch_layout(self.env, recipe.batch_size, execution.micro_batch_size)
        self.loader = build_loader(data, recipe, experiment.seed, layout, self.device, execution.num_workers)
        smallest = min_image_size(model)
        if data.image_size < smallest:
            raise UserError(
                f"model.stem_stride={model.stem_stride} with model.downsample={model.downsample} needs images of at "
                f"least {smallest} pixels, {data.name} has {data.image_size}; a smaller model.stem_stride (4, 2, 1) "
                "allows them"
            )
        if recipe.batch_size > self.loader.num_images:
            raise UserError(
                f"recipe.batch_size must be at most {self.loader.num_images}, the number of training images, "
                f"got {recipe.batch_size}"
            )
        if recipe.sync_batchnorm and self.env.world_size > 1 and self.device.type != "cuda":
            raise UserError(f"recipe.sync_batchnorm=true needs GPUs for several processes, got {self.device}")
        self.plan = TrainPlan(recipe, self.loader.num_images // recipe.batch_size, experiment.seed, layout)

    def lock(self) -> None:
        """Create the run's folder and hold its lock. Raises RunLocked on every rank where another process holds it."""
        locked = None
        if self.env.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self.exit_stack.enter_context(run_lock(self.folder))
            except RunLocked as error:
                locked = error
        if any_rank(locked is not None):
            raise locked or RunLocked(f"{self.folder} is being trained by other processes")

    def build(self) -> None:
        """Count the costs, build the network and its optimizer, and start the log."""
        experiment = self.experiment
        assert experiment.data.num_classes is not None, "modernet.data.fingerprint.resolve_data reads it"
        num_classes = experiment.data.num_classes
        self.cost = model_cost(experiment.model, experiment.data.image_size, num_classes)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.state = build_state(experiment.model, num_classes, self.plan, self.execution, self.device)
        self.machine = self._describe_machine()
        if self.env.is_main_process:
            write_text(self.folder / CONFIG_FILE, OmegaConf.to_yaml(self._saved_config()))
        log_file = self.folder / LOG_FILE if self.env.is_main_process else None
        has_checkpoint = checkpoint.latest_checkpoint(self.folder) is not None
        self.exit_stack.enter_context(run_logging(log_file, experiment.name, append=has_checkpoint))
        for warning in experiment.warnings:
            logger.warning(warning)
        logger.info(f"{experiment.title}: {self.cost.params:,} parameters, {self.cost.gmacs:.4f} GMACs")
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        logger.info(f"{self.plan.layout} ({machine})")

    def resume(self) -> None:
        """Load the newest intact checkpoint, if there is one, and start or continue the wandb run."""
        saved = checkpoint.load_checkpoint(self.folder)
        if saved:
            self.state.load_state_dict(saved)
            logger.info(f"resuming from step {self.state.step} of {self.plan.total_steps}")
        wandb_id = saved["wandb"] if saved else None
        context = wandb_run(self.wandb_mode, self.folder, self.experiment, wandb_id)
        self.wandb = self.exit_stack.enter_context(context)
        minutes = self.execution.checkpoint_minutes
        self.checkpoints = CheckpointManager(self.folder, minutes, self.env, self.shutdown)
        self.checkpoints.extra["wandb"] = self.wandb.id

    def fit(self) -> str | None:
        """Train all remaining epochs; returns why the run failed, or None.

        An interruption and an error of the file system are not the run's fault and are raised.
        """
        try:
            for epoch in self.epochs():
                logger.info(epoch)
                self.wandb.log_epoch(epoch)
                self._write_metrics()
        except Interrupted as error:
            if self.env.is_main_process:
                logger.warning(error)
            raise
        except OSError:
            raise
        except NonFiniteLoss as error:
            logger.error(error)
            return str(error)
        except Exception as error:
            logger.exception(describe(error))
            return describe(error)
        return None

    def epochs(self) -> Iterator[Epoch]:
        """Train the remaining epochs one by one and yield their metrics; writes nothing but checkpoints."""
        return fit(self.state, self.loader, self.plan, self.checkpoints)

    def finalize(self, failure: str | None) -> Record:
        """Write the weights and then the record, which makes the run a finished one; then delete the checkpoints."""
        record = self._build_record(failure)
        self.wandb.log_result(record)
        if self.env.is_main_process:
            if record.status == "done":
                write_bytes(self.folder / WEIGHTS_FILE, checkpoint.serialize(self.state.weights()))
            write_record(self.folder, record)
            if record.status == "done":
                checkpoint.remove_checkpoints(self.folder)
                remove_lock(self.folder)
        return record

    def _saved_config(self) -> dict[str, Any]:
        """The config of the run, with the folder of its data, which does not identify it."""
        return {**self.experiment.config, "data_root": self.experiment.data.root}

    def _describe_machine(self) -> dict[str, Any]:
        """How the work is done, for the log and the record."""
        return {
            "devices": self.env.world_size,
            "threads": torch.get_num_threads(),
            "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
            "micro_batch_size": self.plan.layout.micro_batch_size,
            "grad_accum_steps": self.plan.layout.grad_accum_steps,
            "amp": "bf16" if uses_bf16(self.execution, self.device) else "off",
            "compile": uses_compile(self.execution, self.device, self.plan),
            "channels_last": self.execution.channels_last,
            "num_workers": self.loader.num_workers,
        }

    def _write_metrics(self) -> None:
        """Rewrite all epochs, so that the file of a resumed run is that of an uninterrupted one."""
        if self.env.is_main_process:
            lines = (json.dumps(flatten(epoch)) + "\n" for epoch in self.state.epochs)
            write_text(self.folder / METRICS_FILE, "".join(lines))

    def _build_record(self, failure: str | None) -> Record:
        experiment, epochs = self.experiment, self.state.epochs
        last = epochs[-1] if epochs and failure is None else None
        seconds = sum(epoch.train_seconds for epoch in epochs)
        images = sum(epoch.train_seconds * epoch.images_per_second for epoch in epochs)
        return Record(
            step=experiment.step,
            variant=experiment.variant,
            protocol=experiment.protocol,
            size=experiment.size,
            seed=experiment.seed,
            data=experiment.data.name,
            recipe=experiment.recipe.name,
            params=self.cost.params,
            gmacs=self.cost.gmacs,
            top1=last and last.top1,
            top5=last and last.top5,
            val_loss=last and last.val_loss,
            epochs=len(epochs),
            train_seconds=seconds,
            images_per_second=images / seconds if seconds else 0.0,
            device=device_name(self.device),
            torch=torch.__version__,
            commit=current_commit(),
            status="failed" if failure else "done",
            config=experiment.config,
            top1_ema=last and last.top1_ema,
            reason=failure,
            machine=self.machine,
            metrics=last.metrics if last else {},
        )


@contextmanager
def _explain_full_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        path = checkpoint.latest_checkpoint(folder) or "none"
        raise DiskFull(f"no space left on the disk of {folder}; last good checkpoint: {path}") from error
