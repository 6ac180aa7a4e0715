"""What a learner rank will need before it is started: memory by part, FLOPs a token, and what would make it fit."""
