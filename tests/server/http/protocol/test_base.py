"""Every request model is frozen and refuses unknown fields."""

import importlib
import pkgutil

import pytest
from pydantic import BaseModel, RootModel, ValidationError

from lmcraft.server.http import protocol
from lmcraft.server.http.protocol.base import MAX_TEXT_LENGTH, Strict, Text

MODULES = [importlib.import_module(f"{protocol.__name__}.{info.name}") for info in pkgutil.iter_modules(protocol.__path__)]
MODELS = sorted(
    {
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and "[" not in value.__name__
    }
    - {BaseModel, RootModel},
    key=lambda model: model.__name__,
)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_request_models_are_frozen_and_strict(model: type[BaseModel]) -> None:
    assert model.model_config["frozen"]
    assert issubclass(model, RootModel) or model.model_config["extra"] == "forbid"


def test_texts_are_bounded_and_fields_cannot_be_set() -> None:
    class Request(Strict):
        text: Text = ""

    request = Request(text="x" * MAX_TEXT_LENGTH)
    with pytest.raises(ValidationError, match="frozen"):
        request.text = ""
    for fields in ({"text": "x" * (MAX_TEXT_LENGTH + 1)}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            Request.model_validate(fields)
