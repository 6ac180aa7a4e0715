"""Making trajectories: the engine protocol, the vLLM engine and its weight receiver, admission, routing."""
