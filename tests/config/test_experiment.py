"""A composed config becomes an experiment with a name and an identity."""

from dataclasses import replace

import hydra
import pytest
from helpers import MAIN_PATH
from hydra import initialize_config_dir

from modernet import roadmap
from modernet.config import studies
from modernet.config.experiment import Experiment, build_execution, build_experiment
from modernet.config.roadmap import network_steps, sizes, to_dict
from modernet.config.schema import ExecutionConfig, SizeConfig
from modernet.config.search_path import CONFIGS, config_files
from modernet.errors import UserError


@pytest.fixture(scope="module")
def compose():
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        yield lambda *overrides: hydra.compose("config", [*map(str, overrides)])


@pytest.fixture(scope="module")
def experiment(compose):
    def build(*overrides: object) -> Experiment:
        return build_experiment(compose(*overrides), map(str, overrides))

    return build


@pytest.mark.parametrize("size", sizes())
def test_hydra_composes_the_networks_of_the_roadmap(experiment, size):
    for option in MAIN_PATH if size == "micro" else ("resnet50", "stage_ratio", "increase_width", "convnext"):
        run = experiment(f"+step={option}", f"size={size}", "model.stem_stride=4")
        assert run.step == ("resnet200" if (size, option) == ("b", "resnet50") else option)
        assert run.model == roadmap(size)[run.step]
        assert run.recipe.name == ("classic" if option == "resnet50" else "modern")


@pytest.mark.parametrize(
    ("overrides", "variant"),
    [
        ([], "resnet50"),
        (["size=b"], "resnet200"),
        (["recipe=modern"], "modern_recipe"),
        (["recipe=modern", "recipe.epochs=3"], "modern_recipe+recipe.epochs=3"),
        (["+step=gelu", "recipe=modern_short", "recipe.epochs=3"], "gelu+recipe.epochs=3"),
        (["+step=gelu", "recipe=modern_short"], "gelu"),  # the protocol sets the epochs, so it is the same run
        (["model.act=gelu"], "resnet50+act=gelu"),
        (["+step=convnext", "model.act=relu"], "convnext+act=relu"),
        (["+step=convnext", "model.layer_scale=0"], "separate_downsampling"),
        (["+step=convnext", "model.layer_scale=0", "model.act=relu"], "separate_downsampling+act=relu"),
        (["+step=convnext", "ablate=gelu"], "convnext+act=relu"),
        (["+step=gelu", "ablate=[gelu]"], "kernel_size"),
        (["+step=gelu", "ablate=[stage_ratio]"], "gelu+depths=[1,1,2,1]"),
        (["+step=gelu", "ablate=kernel_size", "model.kernel_size=9"], "gelu+kernel_size=9"),
        (["+step=gelu", "ablate=kernel_size", "model.kernel_size=7"], "gelu"),
        (["+step=convnext", "ablate=gelu", "++model.act=gelu"], "convnext"),
        (["+step=kernel_size", "ablate=kernel_size", "model={kernel_size:7}"], "kernel_size"),
        (["+step=gelu", "size=b", "ablate=increase_width"], "gelu+width=84"),
        (["+step=depthwise_conv", "ablate=[stage_ratio,depthwise_conv]"], "modern_recipe+stem=patchify"),
        (["+step=move_up_depthwise", "model.kernel_size=3"], "move_up_depthwise"),
        (["+step=move_up_depthwise", "model.kernel_size=5"], "move_up_depthwise+kernel_size=5"),
        (["+step=move_up_depthwise", "model.kernel_size=7"], "kernel_size"),
        (["+step=move_up_depthwise", "model.kernel_size=7", "recipe.epochs=3"], "kernel_size+recipe.epochs=3"),
        (["+step=gelu", "data.split=train/val"], "gelu+data.split=train/val"),
        (["+step=gelu", "model.act_after=[0,1]"], "gelu+act_after=[0,1]"),
        (["+step=gelu", "protocol=cifar10_micro", "data.root=/anywhere"], "gelu"),
        (["+step=gelu", "protocol=cifar10_micro", "data=digits"], "gelu+data=digits"),
    ],
)
def test_variant_is_the_nearest_step_and_its_differences(experiment, overrides, variant):
    assert experiment(*overrides).variant == variant


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ("+step=gelu recipe.momentum=0.5", "recipe.optimizer is adamw"),
        ("+step=resnet50 recipe.betas=[0.8,0.9]", "recipe.optimizer is sgd"),
        ("+step=gelu recipe.crop_interpolation=bilinear", "digits is in memory"),
        ("+step=gelu data.on_error=skip", "digits is in memory"),
        ("+step=gelu data.max_pixels=1000", "digits is in memory"),
        ("+step=gelu recipe.init=torch recipe.init_std=0.1", "recipe.init is torch"),
        ("+step=gelu recipe.cutmix_alpha=0 recipe.mixup_switch_prob=0.1", "Mixup and CutMix are not both on"),
        ("+step=gelu recipe.randaugment=0 recipe.randaugment_interpolation=bicubic", "recipe.randaugment is 0"),
        ("protocol=imagenette +step=gelu data.crop_padding=8", "imagenette has image files, which get random"),
        ("protocol=imagenet recipe=a2 data.crop_pct=1.0", "recipe.crop_pct is 0.95"),
    ],
)
def test_value_without_effect_is_warned_of(experiment, overrides, reason):
    (warning,) = experiment(*overrides.split()).warnings
    assert warning.startswith(f"{overrides.split()[-1]} has no effect: {reason}")


@pytest.mark.parametrize(
    ("overrides", "fallback"),
    [
        ("recipe.batch_size=32 recipe.micro_batch_size=32", "recipe.batch_size"),
        ("protocol=imagenet recipe.train_image_size=224", "data.image_size"),
        ("protocol=imagenet recipe=a2 recipe.crop_pct=0.875", "data.crop_pct"),
    ],
)
def test_value_that_null_stands_for_is_warned_of(experiment, overrides, fallback):
    words = overrides.split()
    (warning,) = experiment(*words).warnings
    name = words[-1].partition("=")[0]
    assert warning == f"{words[-1]} gives the result of {name}=null, which stands for {fallback}, but as another run"
    assert not experiment(*words[:-1], f"{name}=null").warnings


def test_defaults_of_the_code_are_those_of_the_configs(compose):
    """`Trainer.from_experiment` takes the former, the command line the latter."""
    config = compose("size=t")
    assert build_execution(config) == ExecutionConfig()
    assert SizeConfig(**to_dict(config.size)) == SizeConfig()


@pytest.mark.parametrize(
    ("overrides", "name"),
    [("+step=grn ablate=convnext", "convnext"), ("+step=large_kernel ablate=[gelu,kernel_size]", "kernel_size")],
)
def test_ablated_step_whose_fields_are_set_again_is_warned_of(experiment, overrides, name):
    (warning,) = experiment(*overrides.split()).warnings
    assert warning.startswith(f"ablate={name} changes nothing")


@pytest.mark.parametrize("protocol", config_files("protocol"))
@pytest.mark.parametrize("step", ["resnet50", "modern_recipe", "convnext", "grn"])
def test_protocol_composes_under_its_name_without_a_warning(experiment, protocol, step):
    composed = experiment(f"+step={step}", f"protocol={protocol}")
    assert (composed.protocol, composed.variant, composed.warnings) == (protocol, step, ())
    assert experiment("+step=convnext", f"protocol={protocol}", "ablate=[gelu,layer_norm]").warnings == ()


@pytest.mark.parametrize("name", ["kernel_size", "modern_recipe", "inverted"])
def test_ablate_refuses_a_step_that_the_network_does_not_include(experiment, name):
    message = (
        f"patchify_stem does not include the step '{name}' of ablate; steps it includes: stage_ratio, patchify_stem$"
    )
    with pytest.raises(UserError, match=message):
        experiment("+step=patchify_stem", f"ablate=[{name}]")


def test_hash_ignores_names_and_the_machine(experiment):
    plain = experiment("protocol=cifar10_micro").hash
    assert experiment("protocol=cifar10_micro", "data.root=/a").hash == plain
    assert experiment("protocol=cifar10_micro", "device=cpu", "runs=/b").hash == plain
    assert experiment("protocol=cifar10_micro", "recipe.name=mine", "+step=resnet50").hash == plain


def test_hash_depends_on_every_value_that_decides_the_result(experiment):
    others = ["seed=1", "recipe.lr=0.2", "model.width=20", "data.flip=false", "+step=gelu", "protocol=digits"]
    base = experiment("protocol=cifar10_micro")
    hashes = {base.hash, replace(base, data_fingerprint="abc").hash}
    hashes |= {experiment("protocol=cifar10_micro", other).hash for other in others}
    assert len(hashes) == 2 + len(others)


def test_folder_has_a_short_name_and_is_found_by_the_hash(experiment, tmp_path):
    overrides = [f"recipe.{name}=0.1" for name in ("label_smoothing", "drop_path_rate", "random_erasing_prob")]
    run = experiment("+step=gelu", *overrides, "seed=3")
    folder = run.folder(tmp_path)
    assert len(folder.name) <= 60 + len(f"-s3-{run.hash}")
    renamed = folder.with_name(f"another-name-s3-{run.hash}")
    renamed.mkdir(parents=True)
    assert run.folder(tmp_path) == renamed


def test_data_of_another_image_size_warns_of_what_the_protocol_sets(experiment):
    (warning,) = experiment("protocol=digits", "data=cifar100").warnings
    assert (
        "data=cifar100 has images of 32 px, protocol=digits is made for 8 px: the protocol sets model.stem_stride=1"
        in warning
    )
    assert not experiment("protocol=cifar10_micro", "data=cifar100").warnings


def test_values_of_a_recipe_that_the_protocol_replaces_are_warned_of(experiment):
    (warning,) = experiment("protocol=digits", "recipe=modern_short", "+step=gelu").warnings
    assert warning == (
        "protocol=digits sets recipe.epochs=12 (recipe=modern_short has 100); recipe.FIELD=VALUE changes them"
    )
    for overrides in (["recipe.epochs=3", "recipe=modern_short"], ["recipe=modern"], []):
        assert not experiment("protocol=digits", "+step=gelu", *overrides).warnings
    assert not experiment("protocol=imagenet", "+step=gelu", "recipe=modern_short").warnings


def test_tuned_values_reach_a_recipe_derived_from_modern(tmp_path, compose):
    (tmp_path / "recipe").mkdir()
    text = "# Mine.\ndefaults: [modern, _self_]\nname: mine\nweight_decay: 0.1\n"
    (tmp_path / "recipe/mine.yaml").write_text(text)
    config = compose("protocol=cifar10_micro", "recipe=mine", f"hydra.searchpath=[file://{tmp_path}]")
    tuned = compose("protocol=cifar10_micro", "recipe=modern").recipe
    assert (config.recipe.lr, config.recipe.init) == (tuned.lr, tuned.init) == (0.012, "torch")
    assert (config.recipe.name, config.recipe.weight_decay) == ("mine", 0.1)


def test_leave_one_out_ablates_nothing_and_then_each_step():
    names = network_steps("convnext", "micro")
    assert studies.leave_one_out("convnext", "micro") == ",".join(["[]", *names])


def test_studies_leave_out_invalid_networks_and_name_the_reason(capsys):
    """The Inception mixer splits a depthwise convolution."""
    left_out = studies.leave_one_out("inception_mixer", "micro").split(",")
    assert "depthwise_conv" not in left_out
    assert {"kernel_size", "inception_mixer"} <= set(left_out)
    added = studies.add_one_in("inception_mixer", "micro")
    assert len(added.split("],[")) == len(network_steps("inception_mixer", "micro"))  # all steps, and each but one
    assert "mixer=inception needs depthwise=true" in capsys.readouterr().err


def test_add_one_in_keeps_no_step_and_then_each_alone(experiment):
    names = network_steps("patchify_stem", "micro")
    assert studies.add_one_in("patchify_stem", "micro") == "[stage_ratio,patchify_stem],[patchify_stem],[stage_ratio]"
    assert len(names) == 2
    assert experiment("+step=patchify_stem", "ablate=[patchify_stem]").variant == "stage_ratio"
