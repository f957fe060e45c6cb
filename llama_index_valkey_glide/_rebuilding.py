"""How components are rebuilt from dicts and JSON, without showing the password of their URL."""

from __future__ import annotations

import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator
from pydantic_core import from_json

from valkey_memory.adapters import hide, hide_url_in


class Rebuilt(BaseModel):
    """Constructors of a component from what was written down.

    They hide the URL before an error may show it, to tools that print the variables of every frame.
    """

    # pydantic's errors would show all fields.
    model_config = ConfigDict(hide_input_in_errors=True)

    @model_validator(mode="wrap")
    @classmethod
    def _without_class_name(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Take what a dump adds; the constructor knows no such argument."""
        if isinstance(data, dict) and data.get("class_name") == cls.__name__:
            data = {name: value for name, value in data.items() if name != "class_name"}
        return handler(data)

    @classmethod
    def model_validate(cls, obj: Any, **kwargs: Any) -> Self:
        """A component from a dict of its fields, such as ``model_dump`` gives."""
        if isinstance(obj, dict):
            obj = hide_url_in(obj)
        return super().model_validate(obj, **kwargs)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **kwargs: Any) -> Self:
        """A component from JSON of its fields."""
        json_data = hide(json_data if isinstance(json_data, str) else json_data.decode())
        try:
            obj = hide_url_in(from_json(json_data))
        except (ValueError, AttributeError):  # it is none, or none of an object
            return super().model_validate_json(json_data, **kwargs)
        return cls.model_validate(obj, **kwargs)

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """A component from what ``to_dict`` gave; ``kwargs`` replace single fields."""
        data = hide_url_in(data | kwargs)
        kwargs = {}
        data.pop("class_name", None)
        return cls(**data)

    @classmethod
    def from_json(cls, data_str: str, **kwargs: Any) -> Self:
        """A component from what ``to_json`` gave; ``kwargs`` replace single fields."""
        data_str, kwargs = hide(data_str), hide_url_in(kwargs)
        return cls.from_dict(json.loads(data_str), **kwargs)
