"""What Hydra finds by itself: the sweeper and the launcher of modernet's studies, and the folders of --config-dir."""
