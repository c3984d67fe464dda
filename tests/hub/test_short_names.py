"""Short names of well-known models."""

from lmcraft.hub.fetch import parse_address
from lmcraft.hub.short_names import NAMES


def test_every_short_name_parses_to_its_address() -> None:
    assert len(NAMES) > 20
    for name, address in NAMES.items():
        assert name == name.lower() and parse_address(name) == address == parse_address(str(address))
