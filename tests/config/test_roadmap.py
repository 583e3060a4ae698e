"""The roadmap follows from configs/step, and a user's steps from a folder of the user's."""

import os
from dataclasses import asdict, fields

import pytest
from helpers import ALL_STEPS, BEYOND, MAIN_PATH, ROOT, run_script
from omegaconf import OmegaConf

from modernet import DataConfig, ModelConfig, RecipeConfig, roadmap
from modernet.analysis import paper
from modernet.config import roadmap as steps
from modernet.config.search_path import add_config_dir, config_files
from modernet.errors import UserError

GLOBAL = "# @package _global_\n"


@pytest.fixture
def user_step(tmp_path, monkeypatch):
    """Writes step/NAME.yaml to a folder of the user's, which is read like configs/."""
    monkeypatch.setenv("MODERNET_CONFIG_DIR", "")
    (tmp_path / "step").mkdir()

    def write(name: str, parent: str, *lines: str) -> None:
        header = ["# @package _global_", "# A step of the user's.", f"defaults: [{parent}, _self_]"]
        text = "\n".join([*header, *(lines or (f"step: {name}", "model: {kernel_size: 11}"))])
        (tmp_path / f"step/{name}.yaml").write_text(text)
        add_config_dir(tmp_path)

    return write


def test_steps_come_in_the_order_of_the_paper():
    assert [step.name for step in steps.all_steps() if step.name not in BEYOND] == MAIN_PATH
    assert [name for name in roadmap("b") if name not in BEYOND] == ["resnet200", *MAIN_PATH[1:]]
    for size in ("t", "b"):
        published = [name for name in paper.paper_rows(size) if "+" not in name and "swin" not in name]
        assert steps.main_path(size) == published


def test_steps_beyond_the_paper_stand_behind_their_parents():
    assert [step.name for step in steps.all_steps()] == ALL_STEPS


@pytest.mark.parametrize("size", steps.sizes())
def test_each_step_changes_the_declared_fields_of_its_parent(size):
    networks = roadmap(size)
    for step in steps.all_steps()[2:]:
        before, after = asdict(networks[str(steps.parent_step(step.name, size))]), asdict(networks[step.name])
        changed = {name for name in after if after[name] != before[name]}
        declared = set(step.change["model"])
        # stage_ratio sets the width too, which differs in size b alone
        assert changed == declared or (step.name == "stage_ratio" and changed == {"depths"}), step.name


def test_default_model_config_is_the_start():
    assert ModelConfig() == roadmap("t")["resnet50"]


def test_applying_all_steps_of_a_network_gives_the_network():
    for size in steps.sizes():
        for name, network in roadmap(size).items():
            assert steps.apply_steps(steps.network_steps(name, size), size) == network
    assert steps.network_steps("patchify_stem", "b") == ["stage_ratio", "patchify_stem"]


def test_unknown_size_raises_with_the_allowed_ones():
    with pytest.raises(ValueError, match="there is no size 'xl'; allowed: atto, b, femto, micro, nano, pico, t"):
        roadmap("xl")


def test_side_step_stands_behind_its_parent(user_step):
    user_step("wide_gelu", "gelu")
    user_step("wider_kernel", "convnext")
    names = [step.name for step in steps.all_steps()]
    assert names[names.index("gelu") :][:3] == ["gelu", "wide_gelu", "fewer_activations"]
    assert names[names.index("convnext") :] == ["convnext", *BEYOND[1:], "wider_kernel"]
    assert steps.main_path("micro") == MAIN_PATH
    assert roadmap("micro")["wider_kernel"].kernel_size == 11
    assert steps.network_steps("wider_kernel", "micro")[-2:] == ["convnext", "wider_kernel"]


def test_step_without_its_own_name_is_refused(user_step):
    for lines in (["model: {kernel_size: 11}"], ["step: wide", "model: {kernel_size: 11}"]):
        user_step("wider_kernel", "convnext", *lines)
        with pytest.raises(UserError, match=r"wider_kernel\.yaml needs a line `step: wider_kernel`"):
            roadmap("micro")


def test_step_with_an_unknown_parent_is_refused(user_step):
    user_step("wider_kernel", "conv_next")
    with pytest.raises(
        UserError, match="its defaults name 'conv_next', which is no step; allowed: conv_stem, convnext, "
    ):
        roadmap("micro")


def test_config_dir_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match="--config-dir must name a folder of config groups"):
        add_config_dir("/no/such/folder")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "recipe/modern.yaml",
            "lr: 0.1",
            r"recipe/modern.yaml would be ignored, because .*recipe/modern.yaml has its name",
        ),
        ("hydra/launcher/slurm.yaml", "nodes: 2", "would be ignored"),
        ("config.yaml", "seed: 3", r"config.yaml would be ignored: configs stand in folders of config groups"),
        ("protocol/short.yaml", "defaults: [digits, _self_]", "needs a line `protocol: short`"),
        ("size/mini.yaml", "width_before: 8", "needs a line `name: mini`"),
        ("size/mini.yaml", "name: micro", "needs a line `name: mini`"),
        ("step/loop.yaml", f"{GLOBAL}defaults: [loop, _self_]", r"step/loop.yaml: its defaults lead back to itself"),
        ("recipe/loop.yaml", "defaults: [/recipe/loop, _self_]", r"recipe/loop.yaml: its defaults lead back to itself"),
        ("step/loop.yaml", f"{GLOBAL}defaults: gelu", r"step/loop.yaml: defaults must be a list, .* got gelu"),
        ("recipe/mine.yaml", "# Größe", r"recipe/mine.yaml cannot be read as yaml in UTF-8: 'utf-8' codec"),
        ("recipe/mine.yaml", "betas: [0.9", r"recipe/mine.yaml cannot be read as yaml in UTF-8: while parsing"),
        ("recipe/mine.yaml", "0.9", r"recipe/mine.yaml cannot be read as yaml in UTF-8: Invalid loaded object type"),
        ("step/mine.yaml", "- gelu", r"step/mine.yaml must hold lines `FIELD: VALUE`"),
        ("step/mine.yaml", "step: mine", r"step/mine.yaml needs the line `# @package _global_` at its top"),
        (
            "step/mine.yaml",
            f"{GLOBAL}defaults: [_self_, gelu]",
            "_self_ must be the last of its defaults, or gelu replaces",
        ),
        (
            "recipe/mine.yaml",
            "defaults: [_self_, /recipe/modern]",
            "_self_ must be the last of its defaults, or modern repl",
        ),
    ],
)
def test_files_that_would_be_ignored_or_misread_are_refused(tmp_path, monkeypatch, file, text, message):
    monkeypatch.setenv("MODERNET_CONFIG_DIR", "")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=message):
        add_config_dir(tmp_path)
    assert os.environ["MODERNET_CONFIG_DIR"] == ""


def test_configs_whose_defaults_lead_in_a_circle_are_refused(user_step, tmp_path):
    (tmp_path / "step/one.yaml").write_text(f"{GLOBAL}defaults: [two, _self_]\nstep: one\n")
    with pytest.raises(UserError, match=r"(one|two)\.yaml: its defaults lead back to itself"):
        user_step("two", "one")


def test_yaml_outside_of_config_groups_may_hold_anything(user_step, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/list.yaml").write_text("- Größe", encoding="latin-1")
    user_step("wider_kernel", "convnext")
    assert "wider_kernel" in roadmap("micro")


def test_train_reads_every_config_dir(train_in_process, tmp_path):
    """The folders have names that an address would encode."""
    words = []
    for name in ("one", "two"):
        folder = tmp_path / f"{name} größe 100%"
        (folder / "step").mkdir(parents=True)
        (folder / f"step/{name}.yaml").write_text(f"{GLOBAL}# One.\ndefaults: [gelu, _self_]\nstep: {name}\n")
        words += ["--config-dir", folder]
    result = train_in_process(*words, "--help", MODERNET_CONFIG_DIR="")
    assert result.returncode == 0, result.stderr
    assert {"+step=one", "+step=two"} <= set(result.stdout.split())
    result = train_in_process(*words, "--cfg", "job", "+step=two", MODERNET_CONFIG_DIR="")
    assert result.returncode == 0, result.stderr
    assert "step: two" in result.stdout.splitlines()


@pytest.mark.parametrize("short_form", ["-cd DIR", "-cd=DIR"])
def test_train_takes_the_short_forms_of_config_dir_and_cfg(train_in_process, tmp_path, short_form):
    (tmp_path / "mine/step").mkdir(parents=True)
    (tmp_path / "mine/step/wider.yaml").write_text(f"{GLOBAL}# Wider.\ndefaults: [gelu, _self_]\nstep: wider\n")
    words = short_form.replace("DIR", str(tmp_path / "mine")).split()
    result = train_in_process(*words, "-c", "job", "+step=wider", MODERNET_CONFIG_DIR="")
    assert result.returncode == 0, result.stderr
    assert "step: wider" in result.stdout.splitlines()
    result = train_in_process(*words, "--help", MODERNET_CONFIG_DIR="")
    assert "+step=wider" in result.stdout.split(), result.stderr


def test_config_dir_with_the_separator_of_paths_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MODERNET_CONFIG_DIR", "")
    (tmp_path / f"a{os.pathsep}b").mkdir()
    with pytest.raises(UserError, match="whose path has no '"):
        add_config_dir(tmp_path / f"a{os.pathsep}b")


def test_every_yaml_starts_with_a_comment_that_explains_it():
    for path in (ROOT / "configs").rglob("*.yaml"):
        lines = [line for line in path.read_text().splitlines() if line != "# @package _global_"]
        assert lines[0].startswith("# "), path


def test_model_config_file_lists_every_field():
    assert {field.name for field in fields(ModelConfig)} == set(OmegaConf.load(config_files("model")["resnet"]))


def test_help_explains_every_step_and_every_field():
    result = run_script("train.py", "--help")
    assert result.returncode == 0, result.stderr
    lines = [line.strip() for line in result.stdout.splitlines()]
    listed = [line.split()[0].removeprefix("+step=") for line in lines if line.startswith("+step=")]
    assert listed == ALL_STEPS
    assert "model.kernel_size=3                    k of the kxk convolution (integer > 0)" in lines
    assert any(line.startswith("recipe.optimizer=sgd") and line.endswith("(sgd, adamw, lamb)") for line in lines)
    for section, config in (("model", ModelConfig), ("recipe", RecipeConfig), ("data", DataConfig)):
        for field in fields(config):
            (line,) = [line for line in lines if line.startswith(f"{section}.{field.name}=")]
            assert len(line.split()) > 3, line
    for field in ("ablate", "seed", "runs", "wandb.mode", "wandb.tags", "num_workers"):
        assert any(line.startswith(f"{field}=") and len(line.split()) > 3 for line in lines)
