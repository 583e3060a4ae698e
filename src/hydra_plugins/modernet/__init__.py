"""What Hydra finds by itself: the sweeper of modernet's studies."""
