"""Adds the user's folders of configs to Hydra's search path."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class UserConfigs(SearchPathPlugin):
    """The folders of `--config-dir`, for every command that composes a config."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from modernet.config.search_path import user_config_dirs

        for folder in user_config_dirs():
            search_path.append("modernet", f"file://{folder}")  # Hydra decodes no %20
