"""A meter whose clock and power are a test's."""

from collections.abc import Callable

from lmcraft.energy import Energy, Meter, Reading


class FakeMeter(Meter):
    """Draws `watts` all the time."""

    def __init__(self, seconds: Callable[[], float], watts: float = 1.0) -> None:
        super().__init__("cpu time")
        self._seconds, self._watts = seconds, watts

    def read(self) -> Reading:
        return Reading(self._seconds(), 0.0)

    def energy(self, since: Reading, until: Reading | None = None, *, flops: float = 0.0) -> Energy:
        seconds = (until or self.read()).seconds - since.seconds
        joules = self._watts * seconds
        return Energy(joules, joules / 2, joules * 2, self.method, seconds)
