"""What a recipe's numbers make of reuse, where that may not be what was meant."""

from __future__ import annotations

from reprise.buffer.settings import BufferSettings


def reuse_notes(settings: BufferSettings, epochs: int, max_staleness: int) -> list[str]:
    """Where groups are never reused, or less than a batch has room for. `epochs` are the passes over a batch."""
    fresh, room, reuse = settings.fresh_per_batch, settings.reused_per_batch, settings.reuse
    if not room and settings.fresh_fraction < 1:
        return [
            f"Nothing is reused: buffer.fresh_fraction {settings.fresh_fraction:g} of buffer.batch_groups "
            f"{settings.batch_groups}, rounded up, is all of them."
        ]
    if not room:
        if reuse.max_uses == epochs:
            return []
        return [
            f"Nothing is reused: buffer.fresh_fraction is 1, so buffer.reuse.max_uses {reuse.max_uses} allows no more "
            f"than learner.epochs {epochs} does."
        ]
    found = []
    again = min(reuse.max_uses // epochs - 1, reuse.max_age)
    if (most := fresh * (1 + again)) < settings.batch_groups:
        found.append(
            f"Batches have at most {most} groups instead of buffer.batch_groups {settings.batch_groups}: {fresh} fresh "
            f"ones, each reused in at most {again} more ({_by(reuse.max_uses // epochs - 1 < reuse.max_age)})."
        )
    waiting = (max_staleness + 1) * fresh
    if settings.max_groups < waiting + room:
        found.append(
            f"buffer.max_groups {settings.max_groups} leaves less than the {room} reused groups of a batch where "
            f"engines are ahead: (rollout.max_staleness {max_staleness} + 1) x {fresh} = {waiting} fresh ones may "
            "wait, and reusable ones are evicted for them."
        )
    return found


def _by(uses: bool) -> str:
    return "buffer.reuse.max_uses" if uses else "buffer.reuse.max_age"
