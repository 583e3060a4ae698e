"""Wrong commands, as typed into a shell in the folder of `write_surroundings`, and a part of the line that answers."""

import os
from pathlib import Path
from zipfile import ZipFile

from trials.wrong_trainings import TRAIN

# {repository} is the folder of the checkout.
MODERNET = r"""
nope                                            | there is no verb 'nope'; allowed: attribution,
Table                                           | there is no verb 'Table'
train +step=nope                                | there is no step 'nope'
table missing                                   | there is no folder missing
table --runs missing                            | there is no folder missing
table --nope                                    | unrecognized arguments: --nope
table --csv --json                              | not allowed with argument
table --where nope==1                           | there is no finished record that matches "nope==1"
table --where 'seed<'                           | filter "seed<" is not an expression such as
table --references --csv                        | --references is a table for readers
table --config-dir missing                      | --config-dir must name a folder
compare                                         | compare needs at least one VARIANT before --runs
compare --runs empty gelu convnext              | compare needs at least one VARIANT before --runs
compare gelu                                    | there is no finished record below results/runs
compare gelu --runs missing                     | there is no folder missing
costs --size nope                               | --size must be one of
costs --device nope                             | --device nope has no speeds of size t
costs extra                                     | unrecognized arguments: extra
dashboard --protocol nope --dry-run             | there is no protocol 'nope'
dashboard --runs missing --dry-run              | there is no folder missing
evaluate                                        | the following arguments are required: RUN
evaluate missing                                | missing holds no finished run
evaluate empty                                  | empty holds no finished run
evaluate notes.txt                              | notes.txt holds no finished run
evaluate empty nope=1                           | nope=1 does not change an evaluation
evaluate empty --logits x.txt                   | --logits must end in .npz
export empty                                    | the following arguments are required: FILE
export empty x.pt                               | FILE must end in .safetensors, got x.pt
export empty missing/x.safetensors              | there is no folder missing to write x.safetensors to
export empty x.safetensors                      | empty holds no finished run
export empty x.safetensors --names nope         | invalid choice: 'nope'
figures missing                                 | there is no folder missing
figures empty --curves nope                     | there is no finished record below empty
freeze                                          | the following arguments are required: study
freeze ../x                                     | STUDY must be a name of letters
freeze a/b                                      | STUDY must be a name of letters
freeze x --runs missing                         | there is no finished record below missing
get_data nope .                                 | invalid choice: 'nope'
get_data cifar10                                | the following arguments are required: folder
get_data cifar10 notes.txt                      | the folder notes.txt cannot be made
plan protocol=nope                              | there is no protocol 'nope'
plan --speed -1                                 | --speed must be a number of GMACs/s above 0
plan --speed x                                  | argument --speed: invalid float value: 'x'
plan --records missing                          | there is no folder missing
plan 'runs=a~b'                                 | quotes inside of quotes:
report missing                                  | there is no folder missing
report --out missing/x.html                     | there is no folder missing to write x.html to
report empty                                    | there is no finished record below empty
study missing                                   | there is no folder missing
study empty --page missing                      | there is no page missing
sync missing                                    | there is no folder missing
sync empty                                      | there is no run that wandb logged offline below empty
attribution nope --orders 2                     | invalid choice: 'nope'
attribution plan                                | one of the arguments --orders --runs --hours is required
attribution plan --orders 3                     | --orders must be even
attribution plan --orders x                     | --orders and --runs must be integers above 0, got 'x'
attribution plan --runs 0                       | --orders and --runs must be integers above 0, got '0'
attribution plan --hours 0                      | --hours must be a number above 0, got '0'
attribution plan --orders 2 --seeds a           | --seeds must be integers
attribution plan --orders 2 --end nope          | there is no step 'nope'
attribution plan --orders 2 --protocol nope     | there is no protocol 'nope'
attribution plan --orders 2 seed=1              | seed=1 cannot be an override
"""

SCRIPTS = r"""
reliability.py --parts nope                     | --parts: there is no part nope; allowed:
reliability.py --seed x                         | invalid int value: 'x'
table.py missing                                | there is no folder missing
costs.py --size nope                            | --size must be one of
benchmark.py --parts nope                       | --parts: there is no part nope
benchmark.py --parts input                      | need --images DIR
benchmark.py --parts steps --rounds 0           | --rounds must be 1 or more, got 0
benchmark_report.py --records 0                 | --records must be 1 or more, got 0
"""

SHELL = r"""
sh {repository}/scripts/install.sh nope         | install.sh: error: allowed: default, cpu, dev
bash {repository}/scripts/slurm_test_cluster.sh nope | slurm_test_cluster.sh
make -C {repository} nope                       | No rule to make target 'nope'
make -C {repository} table TORCH=gpu            | TORCH must be default or cpu, got 'gpu'
make -C {repository} report TORCH=              | TORCH must be default or cpu, got ''
"""

# These start Python again.
SLOW = r"""
make -C {repository} {installed} roadmap PROTOCOL=nope    | there is no protocol 'nope'
make -C {repository} {installed} roadmap SEEDS=x          | seed must be an integer
make -C {repository} {installed} roadmap LAUNCHER=nope    | there is no hydra/launcher 'nope'
make -C {repository} {installed} kernels PROTOCOL=nope    | there is no protocol 'nope'
make -C {repository} {installed} leave-one-out SEEDS=x    | seed must be an integer
make -C {repository} {installed} add-one-in LAUNCHER=nope | there is no hydra/launcher 'nope'
make -C {repository} {installed} freeze STUDY=            | the following arguments are required: study
make -C {repository} {installed} freeze STUDY=../x        | STUDY must be a name of letters
"""


def parse(table: str, prefix: str = "") -> list[tuple[str, str]]:
    """(command, expected part of the line) of each line of a table above."""
    rows = [line.rpartition(" | ") for line in table.strip().splitlines()]
    return [(prefix + command.strip(), expected.strip()) for command, _, expected in rows]


IN_PROCESS = parse(TRAIN, "train.py ") + parse(MODERNET, "modernet ") + parse(SCRIPTS, "scripts/")
IN_SHELL, IN_SHELL_SLOW = parse(SHELL), parse(SLOW)


def write_surroundings(folder: Path) -> None:
    """The files that the commands name."""
    (folder / "notes.txt").write_text("some notes")
    for name in (
        "empty",
        "only_train/train/cat",
        "no_images/train/cat",
        "no_images/val/cat",
        "bad_npz",
        "results/runs",
    ):
        (folder / name).mkdir(parents=True)
    (folder / "only_train/train/cat/1.jpg").touch()
    for name in ("with_pipe/train/cat", "with_pipe/val/cat"):
        (folder / name).mkdir(parents=True)
        os.mkfifo(folder / name / "1.jpg")
    with ZipFile(folder / "bad_npz/cifar10.npz", "w") as file:
        file.writestr("x_train.npy", b"no array")
    (folder / "bad_configs/step").mkdir(parents=True)
    (folder / "bad_configs/step/mine.yaml").write_text("!!python/object/apply:os.system ['touch left']\n")
