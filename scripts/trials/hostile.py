"""What the attacks of the part safety share: quick runs, and the sign that something was executed."""

from pathlib import Path

from trials.commands import run_in_process

MARKER = "pwned"  # appears in the working folder where something is executed
KEY = "0123456789abcdef0123456789abcdef01234567"  # of wandb, in the environment
QUICK = (
    "train.py data=fake data.image_size=8 data.num_classes=10 data.train_images=64 data.test_images=16 "
    "recipe.epochs=1 recipe.warmup_epochs=0 recipe.batch_size=32 model.width=8 num_workers=0 "
)
RUN = QUICK + "wandb=disabled "


def run_problem(command: str, status: int | None = None) -> str:
    """Why a command did not end with this status and without a traceback; without a status, every end will do."""
    try:
        found, errors = run_in_process(command)
    except Exception as error:
        return f"raised {type(error).__name__}" if status is not None else ""
    if "Traceback" in errors and status is not None:
        return f"a traceback: {errors[-300:]}"
    return f"status {found}: {errors[-300:]}" if status not in (None, found) else ""


def finished_run(folder: Path) -> Path:
    """The folder of a run that is trained in `folder`, which is the working folder."""
    problem = run_problem(RUN + "runs=runs", 0)
    assert not problem, problem
    (record,) = folder.rglob("runs/**/record.json")
    return record.parent
