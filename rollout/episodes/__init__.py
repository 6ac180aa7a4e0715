"""Episodes: what is done with an engine to get a group of trajectories. Each kind is one file behind `Episode`."""
