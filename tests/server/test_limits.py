"""Limits on requests."""

from dataclasses import fields, replace

import pytest

from lmcraft.errors import UserError
from lmcraft.server.limits import Limits


@pytest.mark.parametrize("name", [f.name for f in fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_every_limit_must_be_above_zero(name: str, value: float) -> None:
    Limits().check()
    with pytest.raises(UserError, match=f"{name}={value} must be greater than 0"):
        replace(Limits(), **{name: value}).check()
