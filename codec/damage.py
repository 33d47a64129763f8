"""What a decoder reports of damage: places of its audio, in a list that stays short."""

from __future__ import annotations

from dataclasses import dataclass, replace

# A report of so many places takes a few hundred kilobytes; a stream may lose packets for hours.
MAX_PLACES = 1000
# Of one loss after the other without anything between, in seconds.
_TOUCHING = 1e-6


@dataclass(frozen=True)
class Damage:
    """A place of the decoded audio that was concealed.

    Attributes:
        start_seconds: where it begins.
        seconds: how much was concealed; 0 where only stray bytes were skipped.
        reason: a clause for a report; that of the first loss where several were merged.
        end_seconds: where it ends. In a place of several losses, what lies between them is whole.
        losses: how many were merged into it.
    """

    start_seconds: float
    seconds: float
    reason: str
    end_seconds: float
    losses: int = 1


class DamageLog:
    """Gathers damage in the order of the audio.

    Losses that touch and have one reason make one place. Beyond ``MAX_PLACES`` places those that lie nearest
    to each other are merged too, whatever their reasons, so that the log of a long lossy stream stays short.

    Attributes:
        places: what happened so far; one list for good, which changes.
    """

    def __init__(self) -> None:
        self.places: list[Damage] = []
        self._reach = 0.0

    def add(self, damage: Damage) -> None:
        """Note a loss that lies behind all others."""
        self._append(damage)
        while len(self.places) > MAX_PLACES:
            self._reach = max(2 * self._reach, self._nearest())
            places = self.places[:]
            self.places.clear()
            for place in places:
                self._append(place)

    def _append(self, damage: Damage) -> None:
        if self.places and self._belong_together(self.places[-1], damage):
            last = self.places[-1]
            self.places[-1] = replace(
                last,
                seconds=last.seconds + damage.seconds,
                end_seconds=damage.end_seconds,
                losses=last.losses + damage.losses,
            )
        else:
            self.places.append(damage)

    def _belong_together(self, first: Damage, second: Damage) -> bool:
        gap = second.start_seconds - first.end_seconds
        merged = self._reach > 0 and gap <= self._reach
        return merged or (gap <= _TOUCHING and first.reason == second.reason)

    def _nearest(self) -> float:
        pairs = zip(self.places, self.places[1:], strict=False)
        return min(max(second.start_seconds - first.end_seconds, _TOUCHING) for first, second in pairs)
