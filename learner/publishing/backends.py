"""vLLM's name, on the engines' side, of each transport of the recipe. Free of torch: the launcher reads it."""

ENGINE_BACKENDS = {"shared_memory": "reprise_shared_memory", "nccl": "nccl", "ipc": "ipc"}
