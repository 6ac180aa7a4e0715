"""What runs inside the sandbox, and the keeper that builds it: standard library only, imports nothing of reprise.

These files are mounted into the box as they are. Only `values` is imported outside too.
"""
