"""Trajectories and what is decided about them: types, advantages, admission to the buffer, reuse."""
