"""What a route may ask for."""

from typing import Annotated

from fastapi import Depends, Request

from app.auth.principal import Principal
from app.runtime import Runtime


def get_runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


def get_caller(request: Request) -> Principal:
    caller: Principal = request.state.caller
    return caller


RuntimeDep = Annotated[Runtime, Depends(get_runtime)]
# Who calls: they may, and see the models that the path names.
CallerDep = Annotated[Principal, Depends(get_caller)]
