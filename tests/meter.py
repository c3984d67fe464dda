"""A meter whose clock and power are a test's."""

from collections.abc import Callable

from lmcraft.energy import Energy, Meter, Part, Reading


class FakeMeter(Meter):
    """Draws `watts` all the time."""

    method = "cpu time"

    def __init__(self, seconds: Callable[[], float], watts: float = 1.0) -> None:
        self._seconds, self._watts = seconds, watts

    def read(self) -> Reading:
        return Reading(self._seconds(), 0.0)

    def energy(self, since: Reading, until: Reading | None = None, *, flops: float = 0.0) -> Energy:
        seconds = (until or self.read()).seconds - since.seconds
        joules = self._watts * seconds
        part = Part(joules, joules / 2, joules * 2, self.method)
        return Energy.of_parts({"processor": part}, seconds)
