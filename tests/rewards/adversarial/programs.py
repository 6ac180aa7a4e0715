"""All hostile programs. A list to read: adding a case is adding an entry to one of the lists named here."""

from __future__ import annotations

from corners import CORNERS
from escapes import ESCAPES
from exhaustion import DAEMONS, EXHAUSTION, FILLING
from forgeries import FORGERIES
from hostile import LIMITS, Hostile
from kernel_surface import KERNEL_SURFACE

HOSTILE = [*EXHAUSTION, *FILLING, *DAEMONS, *ESCAPES, *KERNEL_SURFACE, *CORNERS, *FORGERIES]
__all__ = ["HOSTILE", "LIMITS", "Hostile"]
