"""`reprise verify`: verify a file of answers, without training and without Ray. `run.py` is the way through."""
