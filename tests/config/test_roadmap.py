"""The roadmap is what configs/step says, and Hydra composes the same networks from it."""

from dataclasses import asdict, fields

import hydra
import pytest
from helpers import ROOT, run_script
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from modernet import ModelConfig
from modernet.analysis import paper
from modernet import roadmap
from modernet.config import roadmap as steps
from modernet.errors import UserError
from modernet.config.experiment import from_config

MAIN_PATH = [
    "resnet50",
    "modern_recipe",
    "stage_ratio",
    "patchify_stem",
    "depthwise_conv",
    "increase_width",
    "invert_bottleneck",
    "move_up_depthwise",
    "kernel_size",
    "gelu",
    "fewer_activations",
    "fewer_norms",
    "layer_norm",
    "separate_downsampling",
    "convnext",
]


@pytest.fixture(scope="module")
def compose():
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        yield lambda *overrides: hydra.compose("config", [*map(str, overrides)])


def test_steps_come_in_the_papers_order():
    assert [step.name for step in steps.steps()] == MAIN_PATH
    assert list(roadmap("b")) == ["resnet200", *MAIN_PATH[1:]]
    for size in ("t", "b"):
        assert list(roadmap(size)) == [name for name in paper.rows(size) if "+" not in name and "swin" not in name]


def test_each_step_is_the_one_before_plus_its_one_change():
    for size in steps.sizes():
        specs = roadmap(size)
        for step in steps.steps()[2:]:
            before, after = asdict(specs[str(steps.parent(step.name, size))]), asdict(specs[step.name])
            changed = {name for name in after if after[name] != before[name]}
            declared = set(step.change["model"])
            # width changes nothing in stage_ratio where width_between is width_before
            assert changed == declared or (step.name == "stage_ratio" and changed == {"depths"}), (size, step.name)


def test_the_default_spec_is_the_start():
    assert ModelConfig() == roadmap("t")["resnet50"]


@pytest.mark.parametrize("size", steps.sizes())
@pytest.mark.parametrize("option", MAIN_PATH)
def test_hydra_composes_the_same_network_by_the_same_name(compose, size, option):
    run = from_config(compose(f"+step={option}", f"size={size}", "model.stem_stride=4"))
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
        (["model.act=gelu"], "resnet50+act=gelu"),
        (["+step=convnext", "model.act=relu"], "convnext+act=relu"),
        (["+step=convnext", "model.layer_scale=0"], "separate_downsampling"),
        (["+step=convnext", "model.layer_scale=0", "model.act=relu"], "separate_downsampling+act=relu"),
        (["+step=convnext", "ablate=gelu"], "convnext+act=relu"),
        (["+step=gelu", "ablate=[gelu]"], "kernel_size"),
        (["+step=gelu", "ablate=[stage_ratio]"], "gelu+depths=[1,1,2,1]"),
        (["+step=gelu", "ablate=kernel_size", "model.kernel_size=9"], "gelu+kernel_size=9"),
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
def test_a_variant_is_named_by_the_nearest_step_and_what_differs(compose, overrides, variant):
    assert from_config(compose(*overrides)).variant == variant


def test_the_steps_of_a_network_add_up_to_it():
    for size in steps.sizes():
        for name, spec in roadmap(size).items():
            assert steps.combined(steps.changing(name, size), size) == spec
    assert steps.changing("patchify_stem", "b") == ["stage_ratio", "patchify_stem"]


def test_without_names_steps_that_the_network_is_made_of(compose):
    for name in ("kernel_size", "modern_recipe", "inverted"):
        with pytest.raises(UserError, match=f"without names '{name}'.*allowed: stage_ratio, patchify_stem$"):
            from_config(compose("+step=patchify_stem", f"ablate=[{name}]"))


def test_the_hash_is_that_of_the_science_alone(compose):
    def hash_(*overrides: str) -> str:
        return from_config(compose("protocol=cifar10_micro", *overrides)).hash

    plain = hash_()
    assert hash_("data.root=/a") == plain == hash_("device=cpu", "runs=/b")
    others = ["seed=1", "recipe.lr=0.2", "model.width=20", "data.flip=false", "+step=gelu", "protocol=digits"]
    assert len({plain, *(hash_(other) for other in others)}) == 1 + len(others)


def test_help_lists_the_steps_in_order_with_a_line_each():
    result = run_script("train.py", "--help")
    assert result.returncode == 0
    listed = [line.split() for line in result.stdout.splitlines() if line.startswith("  +step=")]
    assert [words[0].removeprefix("+step=") for words in listed] == MAIN_PATH
    assert all(len(words) > 4 for words in listed)


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="there is no size 'xl'; allowed: b, micro, t"):
        roadmap("xl")


def test_a_side_branch_comes_right_behind_the_step_it_leaves(monkeypatch):
    def step(name: str, parent: str | None) -> steps.Step:
        return steps.Step(name, parent, "", {})

    chain = [step(name, before) for name, before in zip("abcd", [None, *"abc"], strict=True)]
    monkeypatch.setattr(steps, "_all", lambda: [*chain, step("side", "b")])
    steps.steps.cache_clear()
    try:
        assert [found.name for found in steps.steps()] == ["a", "b", "side", "c", "d"]
    finally:
        steps.steps.cache_clear()


def test_every_yaml_says_how_to_use_it_and_names_real_fields():
    for path in (ROOT / "configs").rglob("*.yaml"):
        assert path.read_text().startswith("#"), path
        OmegaConf.load(path)
    assert {field.name for field in fields(ModelConfig)} == set(OmegaConf.load(ROOT / "configs/model/resnet.yaml"))
