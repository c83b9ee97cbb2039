"""Runs the migrations on the connection that `app.migrations` hands over."""

from typing import Any, Literal

from alembic import context
from app.models import Base
from app.models.base import UtcDateTime


def _render(_kind: str, item: Any, _autogen: Any) -> str | Literal[False]:
    """Scripts use plain types, so that they outlive the classes of today."""
    if isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=_render,
    compare_type=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
