"""Publishing: the sender of vLLM's weight-transfer protocol, one file a transport."""
