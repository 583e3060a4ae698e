"""The names of the files in the folder of a run."""

RECORD_FILE = "record.json"  # the result, written last
CONFIG_FILE = "config.yaml"  # written before the first step
WEIGHTS_FILE = "model.pt"  # of a finished run: state dicts `model`, and `ema_model` where the recipe has EMA
CLASSES_FILE = "classes.json"  # a list of names, one for each output; absent without names
CHECKPOINTS = "checkpoint-*.pt"  # of an interrupted run
METRICS_FILE = "metrics.jsonl"  # one line per epoch
STEPS_FILE = "steps.jsonl"  # one line per logged step
LOG_FILE = "train.log"
LOCK_FILE = ".lock"
HOLDER_FILE = ".holder"  # beside the lock, as Windows lets nobody read a locked file

FILES = (
    RECORD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    CLASSES_FILE,
    METRICS_FILE,
    STEPS_FILE,
    LOG_FILE,
    LOCK_FILE,
    HOLDER_FILE,
)
