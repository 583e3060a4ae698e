"""Wrong commands, as typed into a shell in the folder of `write_surroundings`, and a part of the line that answers."""

import os
from pathlib import Path
from zipfile import ZipFile

# {repository} is the folder of the checkout. A `$` before the expected text: the command needs processes of its own.
TRAIN = r"""
+step=nope                                      | there is no step 'nope'; allowed: resnet50,
+step=Convnext                                  | there is no step 'Convnext'
step=nope                                       | To append to your default list use +step=nope
protocol=nope                                   | there is no protocol 'nope'; allowed: cifar10,
size=xl                                         | there is no size 'xl'; allowed: atto,
recipe=nope                                     | there is no recipe 'nope'; allowed: a2,
data=nope                                       | there is no data 'nope'; allowed: cifar10,
model=nope                                      | there is no model 'nope'; allowed: resnet
wandb=nope                                      | there is no wandb 'nope'; allowed: auto,
wandb=roadmap                                   | wandb must be one of auto,
+study=nope                                     | there is no study 'nope'
hydra/launcher=nope                             | there is no hydra/launcher 'nope'
hydra/sweeper=nope                              | there is no hydra/sweeper 'nope'
nope=1                                          | there is no field 'nope'; allowed:
+nope=1                                         | there is no field 'nope'; allowed:
model.nope=1                                    | there is no field 'model.nope'; allowed: depths,
+model.nope=1                                   | there is no field 'model.nope'; allowed: depths,
+recipe.learning_rate=1                         | there is no field 'recipe.learning_rate'
workers=2                                       | there is no field 'workers'; it is called num_workers
wandb.nope=1                                    | there is no field 'wandb.nope'
wandb.mode=on                                   | wandb.mode: input should be 'auto',
model.width=0                                   | model.width: input should be greater than 0, got 0
model.width=-8                                  | got -8
model.width=1.5                                 | model.width: input should be a valid integer
model.width=wide                                | got 'wide'
model.width=null                                | model.width: input should be a valid integer, got None
model.depths=[1,2,3]                            | model.depths
model.depths=3                                  | model.depths
model.depths=[1,1,1,0]                          | model.depths.3: input should be greater than 0
model.kernel_size=4                             | model.kernel_size must be odd
model.act=swish                                 | 'relu' or 'gelu', got 'swish'
model.act_after=[2,0]                           | model.act_after must name each position once, in order
model.act_after=[3]                             | model.act_after
model.norm=group                                | 'batch' or 'layer', got 'group'
model.stem=conv                                 | model.stem: input should be 'resnet',
model.stem_stride=3                             | model.stem_stride: input should be 4, 2 or 1, got 3
model.layer_scale=-1                            | model.layer_scale: input should be greater than or equal to 0
model.layer_scale=nan                           | model.layer_scale
model.layer_scale=inf                           | model.layer_scale: input should be a finite number, got inf
model.groups=7                                  | model.groups must divide
model.small_kernel=2                            | model.small_kernel must be odd
model.mixer=inception                           | needs depthwise=true
recipe.lr=0                                     | recipe.lr: input should be greater than 0, got 0
recipe.lr=inf                                   | recipe.lr: input should be a finite number, got inf
recipe.lr=nan                                   | recipe.lr
recipe.weight_decay=inf                         | recipe.weight_decay: input should be a finite number
recipe.epochs=0                                 | recipe.epochs: input should be greater than 0
recipe.epochs=1.5                               | recipe.epochs: input should be a valid integer
recipe.epochs=ten                               | got 'ten'
recipe.batch_size=1                             | recipe.batch_size: input should be greater than or equal to 2
recipe.batch_size=100000                        | recipe.batch_size must be at most 1437
recipe.micro_batch_size=7                       | recipe.micro_batch_size
recipe.optimizer=adam                           | 'sgd', 'adamw' or 'lamb', got 'adam'
recipe.schedule=linear                          | got 'linear'
recipe.warmup_epochs=1000                       | recipe.warmup_epochs must be below recipe.epochs=
recipe.momentum=1                               | recipe.momentum: input should be less than 1
recipe.betas=[0.9]                              | recipe.betas
recipe.mixup_alpha=-1                           | recipe.mixup_alpha
recipe.randaugment=11                           | recipe.randaugment: input should be less than or equal to 10
recipe.ema_decay=1                              | recipe.ema_decay: input should be less than 1
recipe.train_image_size=8                       | needs data in image files or shards
recipe.loss=mse                                 | recipe.loss
recipe.init=zeros                               | recipe.init
recipe.crop_pct=2                               | recipe.crop_pct: input should be less than or equal to 1
recipe.drop_path_rate=1                         | recipe.drop_path_rate
data.num_classes=0                              | data.num_classes: input should be greater than 0
data.num_classes=7                              | data=digits has 10 classes, got data.num_classes=7
data.train_images=7                             | data.train_images=7, but data=digits has 1437
data.split=test                                 | 'train/test' or 'train/val', got 'test'
data.image_size=0                               | data.image_size: input should be greater than 0
data.mean=[0.5]                                 | data.mean
data.std=[0,1,inf]                              | data.std
data.kind=video                                 | data.kind
data.on_error=ignore                            | data.on_error: input should be 'raise' or 'skip', got 'ignore'
data.max_pixels=0                               | data.max_pixels: input should be greater than 0
data.allow_pipe=perhaps                         | data.allow_pipe
data=folder                                     | data=folder needs data.root=DIR
data=folder data.root=missing                   | there is no folder missing/train
data=folder data.root=notes.txt                 | there is no folder notes.txt/train
data=folder data.root=empty                     | there is no folder empty/train
data=folder data.root=only_train                | there is neither only_train/val nor only_train/test
data=folder data.root=no_images                 | has no images of cat
data=folder data.root=with_pipe                 | cat/1.jpg is no file but a named pipe
data=cifar10 data.root=missing                  | there is no file missing/cifar10.npz; data.root
data=cifar10 data.root=bad_npz                  | bad_npz/cifar10.npz has no array y_train
data=cifar10 data.root=null                     | data=cifar10 needs data.root=DIR or MODERNET_DATA=DIR
data=shards                                     | data=shards needs data.root=DIR
data=shards data.root=empty                     | needs data.train_images=N
data=shards data.root=empty data.train_images=3 | there is no train-*.tar in empty
data=shards data.train_images=1 'data.root="pipe:touch left # {split}"' | pipe: is no address of shards; allowed
seed=-1                                         | seed must be an integer, 0 or more, got -1
seed=1.5                                        | got 1.5
seed=a                                          | got 'a'
seed=null                                       | seed must be an integer, 0 or more, got None
seed=true                                       | got True
seed=0,1                                        | Ambiguous value for argument 'seed=0,1'
device=gpu                                      | device=gpu cannot be used
device=cuda:99                                  | cuda:99
amp=fp16                                        | amp: input should be 'auto', 'bf16' or 'off'
compile=yes                                     | compile: input should be
channels_last=maybe                             | channels_last
num_workers=-1                                  | num_workers
num_workers=many                                | num_workers
checkpoint_minutes=-1                           | checkpoint_minutes: input should be greater than or equal to 0
log_every_steps=0                               | log_every_steps: input should be greater than 0
retry_failed=maybe                              | retry_failed must be true or false, got 'maybe'
finetune=missing                                | there is no file missing
finetune=empty                                  | there is no file empty/model.pt
finetune=notes.txt                              | finetune: notes.txt is not a readable file of weights
ablate=nope                                     | does not include the step 'nope' of ablate
+step=resnet50 ablate=gelu                      | resnet50 does not include the step 'gelu'
convnext                                        | 'convnext' is no override; allowed: FIELD=VALUE
+step                                           | '+step' is no override
=5                                              | '' in =5 is no name of a field or group
'a b=3'                                         | 'a b' in a b=3 is no name of a field or group
'größe=t'                                       | 'größe' in größe=t is no name of a field or group
'runs=größe'                                    | quotes inside of quotes: 'runs='"'"'größe'"'"''
"runs=it's"                                     | quotes inside of quotes: 'runs='"'"'it\
'runs="'                                        | quotes inside of quotes:
'runs=a~b'                                      | quotes inside of quotes:
'runs=a[b'                                      | '[' and ']' do not match; a text with such characters needs quotes
'runs=a]b'                                      | '[' and ']' do not match
'runs=(a'                                       | '(' and ')' do not match
'runs=a b{'                                     | '{' and '}' do not match
'runs=~/x'                                      | quotes inside of quotes: 'runs='"'"'/
'ablate=[gelu'                                  | '[' and ']' do not match
'runs=[a]'                                      | runs must be the path of a folder, got ['a']
'runs={a: 1}'                                   | runs must be the path of a folder, got {'a': 1}
runs=1                                          | runs must be the path of a folder, got 1
runs=null                                       | runs must be the path of a folder, got None
runs=                                           | runs must be the path of a folder, got
runs=a,b                                        | Ambiguous value for argument 'runs=a,b'
'runs=${nope}'                                  | Interpolation key 'nope' not found
'~nope'                                         | nope
hydra.nope=1                                    | there is no field 'hydra.nope'
--nope                                          | unrecognized arguments: --nope
--config-dir                                    | expected one argument
--config-dir missing                            | --config-dir must name a folder of config groups
--config-dir notes.txt                          | --config-dir must name a folder of config groups
--config-dir bad_configs +step=mine             | mine
--config-name nope                              | nope
-m seed=0,a                                     | seed must be an integer, 0 or more, got 'a'
-m seed=0,-1                                    | got -1
-m +step=gelu,nope                              | there is no step 'nope'
-m model.width=8,0                              | model.width: input should be greater than 0, got 0
-m 'seed=[0,1'                                  | '[' and ']' do not match
-m 'seed=range(0)'                              | the sweep has no runs
"""

MODERNET = r"""
nope                                            | there is no verb 'nope'; allowed: attribution,
Table                                           | there is no verb 'Table'
train +step=nope                                | there is no step 'nope'
table missing                                   | there is no folder missing
table --runs missing                            | there is no folder missing
table --nope                                    | unrecognized arguments: --nope
table --csv --json                              | not allowed with argument
table --where nope==1                           | nope
table --where 'seed<'                           | seed<
table --references --csv                        | --references is a table for readers
table --config-dir missing                      | --config-dir must name a folder
compare                                         | the following arguments are required: VARIANT
compare gelu                                    | no
compare gelu --runs missing                     | there is no folder missing
costs --size nope                               | --size must be one of
costs --device nope                             | nope
costs extra                                     | unrecognized arguments: extra
dashboard --protocol nope --dry-run             | there is no protocol 'nope'
dashboard --runs missing --dry-run              | missing
evaluate                                        | the following arguments are required: RUN
evaluate missing                                | missing
evaluate empty                                  | empty holds no finished run
evaluate notes.txt                              | notes.txt
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
freeze x --runs missing                         | missing
get_data nope .                                 | invalid choice: 'nope'
get_data cifar10                                | the following arguments are required: folder
get_data cifar10 notes.txt                      | the folder notes.txt cannot be made
plan protocol=nope                              | there is no protocol 'nope'
plan --speed -1                                 | --speed must be a number of GMACs/s above 0
plan --speed x                                  | --speed
plan --records missing                          | there is no folder missing
plan 'runs=a~b'                                 | quotes inside of quotes:
report missing                                  | there is no folder missing
report --out missing/x.html                     | there is no folder missing to write x.html to
report empty                                    | no
study missing                                   | there is no folder missing
study empty --page notes.txt --protocol nope    | there is no protocol 'nope'
study empty --page missing                      | there is no page missing
sync missing                                    | there is no folder missing
sync empty                                      | there is no run that wandb logged offline below empty
attribution nope --orders 2                     | invalid choice: 'nope'
attribution plan                                | one of the arguments --orders --runs --hours is required
attribution plan --orders 3                     | --orders must be even
attribution plan --orders x                     | --orders and --runs must be integers above 0, got 'x'
attribution plan --runs 0                       | got '0'
attribution plan --hours 0                      | --hours must be a number above 0, got '0'
attribution plan --orders 2 --seeds a           | --seeds must be integers
attribution plan --orders 2 --end nope          | nope
attribution plan --orders 2 --protocol nope     | nope
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
"""

# These start Python in a process of its own.
SLOW = r"""
make -C {repository} {installed} roadmap PROTOCOL=nope    | there is no protocol 'nope'
make -C {repository} {installed} roadmap SEEDS=x          | seed must be an integer
make -C {repository} {installed} roadmap LAUNCHER=nope    | there is no hydra/launcher 'nope'
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
    for name in ("with_pipe/train/cat", "with_pipe/val/cat"):
        (folder / name).mkdir(parents=True)
        os.mkfifo(folder / name / "1.jpg")
    with ZipFile(folder / "bad_npz/cifar10.npz", "w") as file:
        file.writestr("x_train.npy", b"no array")
    (folder / "bad_configs/step").mkdir(parents=True)
    (folder / "bad_configs/step/mine.yaml").write_text("!!python/object/apply:os.system ['touch left']\n")
