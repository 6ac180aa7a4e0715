"""How a pool of verifier actors decides: who verifies next, what became of a lost batch, when an actor is given up.

Plain classes without Ray, clock or I/O; `actors/verifier_pool.py` reports events to them and follows their decisions.
"""
