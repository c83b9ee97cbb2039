"""What the audit log is told of jobs: which model, never what is scored."""

from app.database import Session
from app.enums import Action
from app.models.job import Job
from app.services.audit import note


def note_job(db: Session, action: Action, job: Job) -> None:
    model = f"{job.model_name}:{job.model_version}"
    note(db, action, job.id, kind=job.kind.value, model=model)
