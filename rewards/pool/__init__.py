"""How a pool of verifier actors decides: who judges next, what became of a lost batch, when an actor is given up.

Plain classes without Ray, clock or I/O; `actors/verifier_pool.py` tells them what happens and does what they say.
"""
