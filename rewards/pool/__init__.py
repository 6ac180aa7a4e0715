"""A pool of hosts of one verifier: who verifies next, what became of a lost batch, when a host is given up.

`dispatch`, `case` and `health` decide; they have no clock and no I/O. `verifier_pool` and `keeper` carry it out.
"""
