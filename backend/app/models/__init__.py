"""The tables; importing this package makes the metadata whole."""

from app.models.alias import Alias
from app.models.api_key import ApiKey
from app.models.audit_entry import AuditEntry
from app.models.base import Base
from app.models.clock import RegistryClock
from app.models.job import Job
from app.models.job_chunk import JobChunk
from app.models.model import Model
from app.models.version import Version

__all__ = [
    "Alias",
    "ApiKey",
    "AuditEntry",
    "Base",
    "Job",
    "JobChunk",
    "Model",
    "RegistryClock",
    "Version",
]
