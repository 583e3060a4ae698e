"""What is warned of in a config before any data is read: values that the protocol replaces, inherits or lacks."""

from modernet.config.schema import RecipeConfig
from modernet.config.search_path import config_bases, config_files, config_values
from modernet.config.variant import Sections, compose_sections


def config_warnings(step: str, protocol: str, size: str, sections: Sections) -> tuple[str, ...]:
    """One line for each."""
    recipe = sections[1]
    return (
        *_inherited_warnings(step, protocol, size, sections),
        *_untuned_warnings(protocol, recipe),
        *_unused_recipe_warnings(step, protocol, size, recipe),
    )


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
