"""Warnings about a config, before any data is read: values without effect, and what a protocol does to values."""

from collections.abc import Collection

from modernet.config.schema import RecipeConfig
from modernet.config.search_path import config_bases, config_files, config_values
from modernet.config.variant import Sections, compose_sections


def config_warnings(
    step: str, protocol: str, size: str, sections: Sections, changes: Collection[str]
) -> tuple[str, ...]:
    """One line for each. `changes` are the overrides in the variant's name, as in recipe.momentum=0.5."""
    recipe = sections[1]
    return (
        *_idle_warnings(changes, sections),
        *_fallback_warnings(changes, sections),
        *_inherited_warnings(step, protocol, size, sections),
        *_untuned_warnings(protocol, recipe),
        *_unused_recipe_warnings(step, protocol, size, recipe),
    )


def _idle_warnings(changes: Collection[str], sections: Sections) -> list[str]:
    """A warning for each override that no part of this training reads: it makes another variant of the same result."""
    _, recipe, data = sections
    in_memory = None if data.in_files else f"{data.name} is in memory"
    optimizer = f"recipe.optimizer is {recipe.optimizer}"
    chooses = recipe.mixup_alpha and recipe.cutmix_alpha
    no_randaugment = None if recipe.randaugment else "recipe.randaugment is 0"
    reasons = {
        "recipe.momentum": None if recipe.optimizer == "sgd" else optimizer,
        "recipe.betas": optimizer if recipe.optimizer == "sgd" else None,
        "recipe.randaugment_std": no_randaugment,
        "recipe.randaugment_interpolation": no_randaugment,
        "recipe.crop_interpolation": in_memory,
        "recipe.mixup_switch_prob": None if chooses else "Mixup and CutMix are not both on",
        "recipe.init_std": None if recipe.init == "trunc_normal" else f"recipe.init is {recipe.init}",
        "data.crop_padding": f"{data.name} has image files, which get random resized crops" if data.in_files else None,
        "data.crop_pct": f"recipe.crop_pct is {recipe.crop_pct}" if data.in_files and recipe.crop_pct else None,
        "data.on_error": in_memory,
        "data.max_pixels": in_memory,
    }
    return [
        f"{change} has no effect: {reason}" for change in changes if (reason := reasons.get(change.partition("=")[0]))
    ]


def _fallback_warnings(changes: Collection[str], sections: Sections) -> list[str]:
    """A warning for each override with the value that null stands for: two variants of the same result."""
    _, recipe, data = sections
    fallbacks = [("recipe.micro_batch_size", "recipe.batch_size", recipe.batch_size)]
    if data.in_files:
        fallbacks += [
            ("recipe.train_image_size", "data.image_size", data.image_size),
            ("recipe.crop_pct", "data.crop_pct", data.crop_pct),
        ]
    return [
        f"{name}={value} gives the result of {name}=null, which stands for {fallback}, but as another run"
        for name, fallback, value in fallbacks
        if f"{name}={value}" in changes
    ]


def _inherited_warnings(step: str, protocol: str, size: str, sections: Sections) -> tuple[str, ...]:
    """A warning where the data set has other images than the protocol was made for."""
    model, recipe, data = sections
    made_for = compose_sections(step, protocol, size)
    if data.image_size == made_for[2].image_size:
        return ()
    inherited = []
    if model.stem_stride == made_for[0].stem_stride:
        inherited.append(f"model.stem_stride={model.stem_stride}")
    if recipe.epochs == made_for[1].epochs:
        inherited.append(f"recipe.epochs={recipe.epochs}")
    if not inherited:
        return ()
    return (
        f"data={data.name} has images of {data.image_size} px, protocol={protocol} is made for "
        f"{made_for[2].image_size} px: the protocol sets {' and '.join(inherited)}; override what does not fit",
    )


def _untuned_warnings(protocol: str, recipe: RecipeConfig) -> tuple[str, ...]:
    """A warning where the protocol is derived from one with tuned values, which do not reach it."""
    tuned = config_files("tuned")
    for name in (recipe.name, *config_bases("recipe", recipe.name)):
        if f"{protocol}_{name}" in tuned:
            return ()
        if found := [base for base in config_bases("protocol", protocol) if f"{base}_{name}" in tuned]:
            return (
                f"the values in tuned/{found[0]}_{name}.yaml do not reach protocol={protocol}, which is derived from "
                f"{found[0]}; a copy of it, tuned/{protocol}_{name}.yaml, does",
            )
    return ()


def _unused_recipe_warnings(step: str, protocol: str, size: str, recipe: RecipeConfig) -> tuple[str, ...]:
    """A warning where the protocol replaces values of a recipe that is not the step's own."""
    if recipe.name == compose_sections(step, protocol, size)[1].name or recipe.name not in config_files("recipe"):
        return ()
    own, composed = config_values("recipe", recipe.name), compose_sections(step, protocol, size, recipe.name)[1]
    protocols = [config_values("protocol", name) for name in (protocol, *config_bases("protocol", protocol))]
    names = dict.fromkeys(name for values in protocols for name in values.get("recipe", {}))
    unused = [name for name in names if name in own and own[name] != getattr(composed, name) == getattr(recipe, name)]
    if not unused:
        return ()
    texts = [f"recipe.{name}={getattr(recipe, name)} (recipe={recipe.name} has {own[name]})" for name in unused]
    return (f"protocol={protocol} sets {', '.join(texts)}; recipe.FIELD=VALUE changes them",)
