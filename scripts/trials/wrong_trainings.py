"""Wrong commands of train.py, and a part of the line that answers; as in wrong_commands.py."""

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
model.width=-8                                  | model.width: input should be greater than 0, got -8
model.width=1.5                                 | model.width: input should be a valid integer
model.width=wide                                | model.width: input should be a valid integer
model.width=null                                | model.width: input should be a valid integer, got None
model.depths=[1,2,3]                            | model.depths: tuple should have at least 4 items
model.depths=3                                  | model.depths: input should be a valid tuple, got 3
model.depths=[1,1,1,0]                          | model.depths.3: input should be greater than 0
model.kernel_size=4                             | model.kernel_size must be odd
model.act=swish                                 | 'relu' or 'gelu', got 'swish'
model.act_after=[2,0]                           | model.act_after must name each position once, in order
model.act_after=[3]                             | model.act_after
model.norm=group                                | 'batch' or 'layer', got 'group'
model.stem=conv                                 | model.stem: input should be 'resnet',
+step=convnext model.stem_stride=4               | needs images of at least 32 pixels, digits has 8
model.stem_stride=3                             | model.stem_stride: input should be 4, 2 or 1, got 3
model.layer_scale=-1                            | model.layer_scale: input should be greater than or equal to 0
model.layer_scale=nan                           | model.layer_scale
model.layer_scale=inf                           | model.layer_scale: input should be a finite number, got inf
model.groups=7                                  | model.groups must divide
model.small_kernel=2                            | model.small_kernel must be odd
model.mixer=inception                           | needs depthwise=true
recipe.lr=0                                     | recipe.lr: input should be greater than 0, got 0
recipe.lr=inf                                   | recipe.lr: input should be a finite number, got inf
recipe.lr=nan                                   | recipe.lr: input should be a finite number, got nan
recipe.weight_decay=inf                         | recipe.weight_decay: input should be a finite number
recipe.epochs=0                                 | recipe.epochs: input should be greater than 0
recipe.epochs=1.5                               | recipe.epochs: input should be a valid integer
recipe.epochs=ten                               | recipe.epochs: input should be a valid integer
recipe.batch_size=1                             | recipe.batch_size: input should be greater than or equal to 2
recipe.batch_size=100000                        | recipe.batch_size must be at most 1437
recipe.micro_batch_size=7                       | recipe.micro_batch_size
recipe.optimizer=adam                           | 'sgd', 'adamw' or 'lamb', got 'adam'
recipe.schedule=linear                          | recipe.schedule: input should be 'cosine' or 'step', got 'linear'
recipe.warmup_epochs=1000                       | recipe.warmup_epochs must be below recipe.epochs=
recipe.momentum=1                               | recipe.momentum: input should be less than 1
recipe.betas=[0.9]                              | recipe.betas.1: field required, got [0.9]
recipe.mixup_alpha=-1                           | recipe.mixup_alpha
recipe.randaugment=11                           | recipe.randaugment: input should be less than or equal to 10
recipe.ema_decay=1                              | recipe.ema_decay: input should be less than 1
recipe.train_image_size=8                       | needs data in image files or shards
recipe.loss=mse                                 | recipe.loss: input should be 'cross_entropy' or
recipe.init=zeros                               | recipe.init: input should be 'he_fan_out',
recipe.crop_pct=2                               | recipe.crop_pct: input should be less than or equal to 1
recipe.drop_path_rate=1                         | recipe.drop_path_rate
data.num_classes=0                              | data.num_classes: input should be greater than 0
data.num_classes=7                              | data=digits has 10 classes, got data.num_classes=7
data.train_images=7                             | data.train_images=7, but data=digits has 1437
data.split=test                                 | 'train/test' or 'train/val', got 'test'
data.image_size=0                               | data.image_size: input should be greater than 0
data.mean=[0.5]                                 | data.mean: tuple should have at least 3 items
data.std=[0,1,inf]                              | data.std.2: input should be a finite number, got inf
data.kind=video                                 | data.kind: input should be 'digits',
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
seed=1.5                                        | seed must be an integer, 0 or more, got 1.5
seed=a                                          | seed must be an integer, 0 or more, got 'a'
seed=null                                       | seed must be an integer, 0 or more, got None
seed=true                                       | seed must be an integer, 0 or more, got True
seed=0,1                                        | seed=0,1 has several values; -m trains a run for each
device=gpu                                      | device=gpu cannot be used
device=cuda:99                                  | device=cuda:99 cannot be used
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
runs=a,b                                        | runs=a,b has several values; -m trains a run for each
'runs=${nope}'                                  | Interpolation key 'nope' not found
'~ablate'                                       | there is no field 'ablate'; allowed:
'~nope'                                         | Could not delete from config. 'nope' does not exist
hydra.nope=1                                    | there is no field 'hydra.nope'
--nope                                          | there is no option --nope; allowed: FIELD=VALUE
--step convnext                                 | there is no option --step; allowed: FIELD=VALUE
data.image_size=16                              | data=digits has images of 8 pixels, got data.image_size=16
data.std=[0,0,0]                                | data.std.0: input should be greater than 0, got 0
--config-dir                                    | expected one argument
--config-dir missing                            | --config-dir must name a folder of config groups
--config-dir notes.txt                          | --config-dir must name a folder of config groups
--config-dir bad_configs +step=mine             | bad_configs/step/mine.yaml", line 1
--config-name nope                              | find primary config 'nope'
-m seed=0,a                                     | seed must be an integer, 0 or more, got 'a'
-m seed=0,-1                                    | seed must be an integer, 0 or more, got -1
-m +step=gelu,nope                              | there is no step 'nope'
-m model.width=8,0                              | model.width: input should be greater than 0, got 0
-m 'seed=[0,1'                                  | '[' and ']' do not match
-m 'seed=range(0)'                              | the sweep has no runs
"""
