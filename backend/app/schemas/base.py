"""What request bodies share."""

from pydantic import BaseModel, ConfigDict


class StrictBody(BaseModel):
    """A body in which a field that is not known is an error, not a surprise."""

    model_config = ConfigDict(extra="forbid")
