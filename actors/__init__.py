"""Ray actors: thin shells around plain classes of other rooms. They carry messages and decide nothing.

Every actor is asynchronous and has `alive()`, a call that never returns while its insides are well: whoever holds its
result learns of a death at once, however idle the actor is.
"""
