"""The form of an upload, as documented and as read."""

from typing import Any, Final

from app.errors import FieldError, InvalidField
from app.kit.refs import name_from_file
from app.services.fields import NewVersion
from app.services.metadata import check_metadata, list_of_names, parse_object

_FIELDS: Final = ("name", "version", "description", "metadata")

_FILE: Final[dict[str, Any]] = {
    "type": "string",
    "format": "binary",
    "description": "The ONNX file; `model` is taken for `file` too.",
}
_DATA: Final[dict[str, Any]] = {
    "type": "string",
    "format": "binary",
    "description": "A file of external data that the ONNX file refers to.",
}


def _multipart(properties: dict[str, Any], **example: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": properties,
        "required": ["file"],
        "example": {"file": "iris.onnx", **example},
    }
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


FILE_BODY: Final = _multipart({"file": _FILE, "data": _DATA})
ONE_SHOT_BODY: Final = _multipart(
    {
        "file": _FILE,
        "data": _DATA,
        "name": {"type": "string", "description": "Else the file's name."},
        "version": {"type": "string", "description": "Else 1.0.0 or the next minor."},
        "description": {"type": "string"},
        "metadata": {
            "type": "string",
            "description": "A JSON object; `feature_names` in it name the columns of "
            "the model's input, as `register` does.",
        },
    },
    name="iris",
    version="1.0.0",
    metadata='{"trained_by": "ana"}',
)


def new_version(fields: dict[str, str], *, filename: str) -> NewVersion:
    """Raises InvalidField on a field that is unknown or breaks its rule."""
    for field in fields:
        if field not in _FIELDS:
            detail = f'unknown form field "{field[:80]}"; use {", ".join(_FIELDS)}'
            raise InvalidField(detail, errors=[FieldError(field[:80], detail)])
    metadata = parse_object("metadata", fields.get("metadata", "{}"))
    names = None
    if "feature_names" in metadata:
        names = list_of_names("metadata.feature_names", metadata.pop("feature_names"))
    return NewVersion(
        name=fields.get("name", name_from_file(filename)),
        version=fields.get("version"),
        description=fields.get("description"),
        metadata=check_metadata("metadata", metadata),
        feature_names=names,
    )
