"""One run, from an experiment to its record: validate -> lock -> build -> resume -> fit -> finalize."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from modernet.config.experiment import Experiment
from modernet.config.schema import ExecutionConfig, WandbConfig
from modernet.config.weights import RUN_OF_WEIGHTS
from modernet.data.fingerprint import data_warnings
from modernet.data.loader import Loader, build_loader
from modernet.data.splits import describe_split
from modernet.errors import ConnectionLost, Interrupted, ModernetError, NonFiniteLoss, UserError
from modernet.models.flops import model_cost
from modernet.record import Epoch, Record, find_record, write_record
from modernet.runtime.agreement import agreement
from modernet.runtime.collectives import any_rank, barrier, leave_unless_all_fail, process_group
from modernet.runtime.device import keep_freed_memory, missing_for_compile, select_device, set_deterministic
from modernet.runtime.distributed import DistributedEnv, batch_layout, distributed_env
from modernet.runtime.file_names import LOG_FILE, WEIGHTS_FILE
from modernet.runtime.io import write_bytes
from modernet.runtime.lock import remove_lock
from modernet.runtime.logging import logger, run_logging
from modernet.runtime.provenance import HostMemory
from modernet.runtime.signals import ShutdownSignal
from modernet.runtime.text import describe
from modernet.tracking.logger import WandbLogger, wandb_run
from modernet.training import checkpoint_files
from modernet.training.checkpoint import CheckpointManager
from modernet.training.checkpoint_files import RunIdentity
from modernet.training.checks import check_batch_size, check_image_size, check_recipe, find_warnings, slow_input_warning
from modernet.training.finetune import head_warnings, load_weights
from modernet.training.folder import hold_lock, write_config
from modernet.training.history import RunHistory
from modernet.training.interruption import explain_interruption, is_interruption, stop_watching_workers
from modernet.training.leftovers import latest_checkpoint, remove_checkpoints
from modernet.training.loop import fit
from modernet.training.result import build_record, describe_machine, describe_origin
from modernet.training.state import TrainPlan, TrainState, build_state, uncompiled_warning
from modernet.training.steps import StepMonitor


class Trainer:
    """Trains one experiment in its folder. `train` is the whole run; each stage is a method and can be called alone."""

    device: torch.device
    loader: Loader
    plan: TrainPlan
    state: TrainState
    checkpoints: CheckpointManager
    wandb: WandbLogger
    history: RunHistory

    def __init__(
        self,
        experiment: Experiment,
        folder: Path,
        execution: ExecutionConfig,
        wandb_config: WandbConfig | None,
        shutdown: ShutdownSignal,
        env: DistributedEnv,
        overrides: Sequence[str] = (),
    ) -> None:
        self.experiment, self.folder, self.execution = experiment, folder, execution
        self.wandb_config = wandb_config
        self.shutdown, self.env, self.overrides = shutdown, env, overrides
        self.exit_stack = ExitStack()  # the process group, the lock, the log and the wandb run

    @classmethod
    def from_experiment(
        cls,
        experiment: Experiment,
        folder: Path,
        execution: ExecutionConfig | None = None,
        wandb_config: WandbConfig | None = None,
        shutdown: ShutdownSignal | None = None,
        overrides: Sequence[str] = (),
    ) -> "Trainer":
        """A trainer for this process; rank and world size come from the environment.

        `overrides` are those of the command line, for the record. By default wandb has no copy.
        """
        execution, shutdown = execution or ExecutionConfig(), shutdown or ShutdownSignal()
        return cls(experiment, folder, execution, wandb_config, shutdown, distributed_env(), overrides)

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: Any) -> None:
        if kind and not issubclass(kind, ModernetError):
            stop_watching_workers()
        self.exit_stack.__exit__(kind, *exception)

    def train(self, failed: Record | None = None) -> Record:
        """Train to the end, from the last checkpoint if there is one, and write the record.

        The record's status is `failed` where the loss became non-finite or anything unexpected was raised. A run that
        another process has ended meanwhile is not trained: its record is returned. `failed` is the record of an
        earlier attempt, which does not end the run. Raises UserError for invalid input, RunLocked where another
        process trains the run, and Interrupted or DiskFull where the same command will resume.
        """
        with explain_interruption(self.folder, self.experiment), self:
            self.validate()
            self.lock()
            record = find_record(self.folder)
            is_ended = self.env.is_main_process and record is not None and record != failed
            if any_rank(is_ended):  # by another process since this one started
                if record is None:
                    raise ConnectionLost("another process ended the run; rerun the same command for its result")
                if self.env.is_main_process and record.status == "done":
                    self._tidy_up()
                return record
            self.build()
            self.resume()
            failure = self.fit()
            return self.finalize(failure)

    def prepare(self) -> None:
        """Every stage before `fit`, for those who train epoch by epoch, as benchmarks do."""
        self.validate()
        self.lock()
        self.build()
        self.resume()

    def validate(self) -> None:
        """Load the data and check everything that can be checked before a file is written. Raises UserError."""
        experiment, env = self.experiment, self.env
        recipe, data = experiment.recipe, experiment.data
        self.host_memory = HostMemory()
        with agreement(env):  # a machine can lack the weights, a GPU or a compiler
            check_image_size(experiment.model, data)
            check_recipe(experiment.model, recipe, data)
            self.weights = load_weights(experiment)
            layout = batch_layout(env, recipe.batch_size, recipe.micro_batch_size)
            self.device = select_device(self.execution.device, env.local_rank, env.local_world_size)
            if self.execution.compile == "on" and (missing := missing_for_compile(self.device)):
                raise UserError(f"compile=on needs {missing}, which this machine lacks; allowed here: off, auto")
        set_deterministic(self.execution.deterministic)
        self.exit_stack.enter_context(process_group(env, self.device))
        self.loader = build_loader(data, recipe, experiment.seed, layout, self.device, self.execution.num_workers)
        check_batch_size(recipe, self.loader.num_images)
        self.plan = TrainPlan(recipe, self.loader.num_images // recipe.batch_size, experiment.seed, layout)

    def lock(self) -> None:
        """Create the run's folder and hold its lock. Raises RunLocked on every rank where another process holds it."""
        self.exit_stack.enter_context(hold_lock(self.folder, self.env, self.shutdown, self.execution.wait))

    def build(self) -> None:
        """Count the costs, build the network and its optimizer, and start the log."""
        experiment = self.experiment
        assert experiment.data.num_classes is not None, "modernet.data.fingerprint.resolve_data reads it"
        num_classes = experiment.data.num_classes
        self.cost = model_cost(experiment.model, experiment.data.image_size, num_classes)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        keep_freed_memory()
        self.state = build_state(experiment.model, num_classes, self.plan, self.execution, self.device)
        start_note = self.state.start_from(self.weights) if self.weights else None
        self.machine = describe_machine(self.execution, self.plan, self.device, self.loader.num_workers)
        self.origin = describe_origin(self.device, self.overrides)
        if self.env.is_main_process:
            write_config(self.folder, experiment)
        log_file = self.folder / LOG_FILE if self.env.is_main_process else None
        has_checkpoint = latest_checkpoint(self.folder) is not None
        self.exit_stack.enter_context(run_logging(log_file, experiment.name, append=has_checkpoint))
        if self.env.is_main_process:
            warnings = find_warnings(experiment.recipe, experiment.data, self.loader.num_images, num_classes)
            warnings += filter(None, [uncompiled_warning(self.execution, self.device, self.plan)])
            of_classes = (*data_warnings(experiment.data), *head_warnings(experiment))
            for warning in (*experiment.warnings, *of_classes, *warnings):
                logger.warning(warning)
        costs = f"{self.cost.params:,} parameters, {self.cost.gmacs:.4f} GMACs"
        start = f"{experiment.title}: {costs}, {describe_split(experiment.data, self.loader.num_images)}"
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        for line in filter(None, (start, start_note, f"{self.plan.layout} ({machine})")):
            logger.info(line)

    def resume(self) -> None:
        """Load the newest intact checkpoint, if there is one, and start or continue the wandb run and the history."""
        run, minutes = RunIdentity(self.experiment.hash, self.experiment.seed), self.execution.checkpoint_minutes
        if saved := checkpoint_files.load_checkpoint(self.folder, run, self.state):
            self.state.load_state_dict(saved)
            logger.info(f"resuming from step {self.state.step} of {self.plan.total_steps}")
        facts = {"params": self.cost.params, "gmacs": self.cost.gmacs, "machine": self.machine, **self.origin}
        wandb_config = self.wandb_config if self.env.is_main_process else None
        self.wandb = self.exit_stack.enter_context(wandb_run(wandb_config, self.folder, self.experiment, facts))
        self.history = RunHistory(self.folder, self.state, self.plan, self.wandb)
        self.checkpoints = CheckpointManager(self.folder, minutes, self.env, self.shutdown, run)

    def fit(self) -> str | None:
        """Train all remaining epochs; returns why the run failed, or None.

        Interruptions and errors of the file system are not the run's fault and are raised.
        """
        try:
            is_warned = False
            for epoch in self.epochs():
                logger.info(epoch)
                if not is_warned and (warning := slow_input_warning(epoch, self.loader.num_workers)):
                    logger.warning(warning)
                    is_warned = True
                self.history.write_epoch(epoch)
        except Interrupted as error:
            if self.env.is_main_process:
                logger.warning(error)
            raise
        except (ConnectionLost, OSError, UserError):  # UserError: a damaged image, which says nothing about the run
            raise
        except NonFiniteLoss as error:
            logger.error(error)
            return str(error)
        except Exception as error:
            if is_interruption(error):
                raise
            if self.shutdown.requested:  # it can end a child of torch's compiler, which says so by any error
                stopped = self.checkpoints.interrupted()
                logger.warning(f"{stopped} ({describe(error)})")
                leave_unless_all_fail()
                raise stopped from error
            logger.exception(describe(error))
            leave_unless_all_fail()
            return describe(error)
        return None

    def epochs(self) -> Iterator[Epoch]:
        """Train the remaining epochs one by one and yield their metrics; writes checkpoints and steps.jsonl only."""
        monitor = StepMonitor(self.plan, self.execution.log_every_steps, self.history.write_steps)
        return fit(self.state, self.loader, self.plan, self.checkpoints, monitor)

    def finalize(self, failure: str | None) -> Record:
        """Write the weights and then the record, which makes the run a finished one; then delete the checkpoints."""
        origin = self.origin | {"peak_host_memory": self.host_memory.peak()}
        record = build_record(self.experiment, self.cost, self.state, failure, self.machine, origin)
        self.wandb.log_result(record)
        if self.env.is_main_process:
            if record.status == "done":
                weights = self.state.weights() | {RUN_OF_WEIGHTS: {record.hash: torch.empty(0)}}
                write_bytes(self.folder / WEIGHTS_FILE, checkpoint_files.serialize(weights))
            write_record(self.folder, record)
            if record.status == "done":
                self._tidy_up()
        barrier()  # no rank looks for the record before it is written
        return record

    def _tidy_up(self) -> None:
        remove_checkpoints(self.folder)
        remove_lock(self.folder)
