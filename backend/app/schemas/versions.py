"""The versions of one name."""

from pydantic import BaseModel, Field

from app.schemas.models import ModelRead


class VersionList(BaseModel):
    name: str
    versions: list[ModelRead] = Field(description="Highest first.")
    total: int
    latest_version: str = Field(description="The highest one, whatever its status.")
