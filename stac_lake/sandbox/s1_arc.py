"""A piece of Sentinel-1's orbit as positions and velocities in the frame of the turning Earth.

It is the circular orbit of `orbits`, so that the point below it is `orbits.ground_track`. With
the argument of latitude u and the node's longitude Λ, both linear in time,

    e(u) = (cos u, cos i · sin u, sin i · sin u)
    S    = r · Rz(Λ) · e(u)                   V = r · Rz(Λ) · (u̇ · de/du + Λ̇ · ẑ × e)

where r is the mission's mean semi-major axis, u̇ that of the repeat cycle, and Λ̇ one turn a day
backwards: the mean sun's frame is the plane's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np

from stac_lake.sandbox.orbits import ORBITS
from stac_lake.sandbox.sphere import Floats

RADIUS = 7_071_000.0  # metres: 693 km above the equator (Sentinel-1 user handbook)
_NODE_RATE = -2 * np.pi / 86_400


@dataclass(frozen=True)
class Arc:
    """The orbit near a moment.

    Attributes:
        platform: Key of `ORBITS`.
        epoch: Aware; the second 0 of all methods.
    """

    platform: str
    epoch: datetime

    @cached_property
    def _rate(self) -> float:
        orbit = ORBITS[self.platform]
        return 2 * np.pi * orbit.revolutions / (orbit.days * 86_400)

    @cached_property
    def _start(self) -> tuple[float, float]:
        """Argument of latitude and longitude of the node at the epoch, radians."""
        orbit = ORBITS[self.platform]
        elapsed = self.epoch - orbit.epoch
        cycle = timedelta(days=orbit.days)
        argument = (elapsed % cycle) / cycle * orbit.revolutions
        utc = self.epoch.astimezone(UTC)
        midnight = utc.replace(hour=0, minute=0, second=0, microsecond=0)
        hours = (utc - midnight) / timedelta(hours=1)
        return 2 * np.pi * (argument % 1.0), float(np.deg2rad(15 * (orbit.ascending_hour - hours)))

    def states(self, seconds: Floats) -> tuple[Floats, Floats]:
        """Position in metres and velocity in metres per second, each (..., 3)."""
        u0, node0 = self._start
        u, node = u0 + self._rate * seconds, node0 + _NODE_RATE * seconds
        tilt = np.deg2rad(ORBITS[self.platform].inclination)
        cos_u, sin_u, cos_n, sin_n = np.cos(u), np.sin(u), np.cos(node), np.sin(node)
        cos_i, sin_i = np.cos(tilt), np.sin(tilt)
        x, y = cos_n * cos_u - sin_n * cos_i * sin_u, sin_n * cos_u + cos_n * cos_i * sin_u
        place = np.stack([x, y, sin_i * sin_u], axis=-1)
        ahead = np.stack(
            [
                -cos_n * sin_u - sin_n * cos_i * cos_u,
                -sin_n * sin_u + cos_n * cos_i * cos_u,
                sin_i * cos_u,
            ],
            axis=-1,
        )
        spin = np.stack([-y, x, np.zeros_like(x)], axis=-1)
        return RADIUS * place, RADIUS * (self._rate * ahead + _NODE_RATE * spin)

    def closest(self, place: Floats, guess: float = 0.0) -> tuple[Floats, Floats]:
        """When points are seen at zero Doppler, and how far away they are.

        Args:
            place: Earth-centred metres, (..., 3).
            guess: Seconds from which the search begins; right within a few minutes.

        Returns:
            Seconds after the epoch (to 1e-9) and slant range in metres.
        """
        seconds = np.full(place.shape[:-1], guess)
        for _ in range(8):
            here, step = self._doppler(place, seconds), 0.5
            slope = self._doppler(place, seconds + step) - self._doppler(place, seconds - step)
            seconds = seconds - here * 2 * step / slope
        position, _ = self.states(seconds)
        return seconds, np.linalg.norm(place - position, axis=-1)

    def _doppler(self, place: Floats, seconds: Floats) -> Floats:
        position, velocity = self.states(seconds)
        product: Floats = ((place - position) * velocity).sum(axis=-1)
        return product
