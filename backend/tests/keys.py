"""API keys in tests: served with authentication on, made at will."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp

from app.config import Settings
from app.enums import Scope
from app.main import create_app
from app.runtime import Runtime
from app.runtime.identity import admin_key_file
from app.services.api_keys import MadeKey, NewKey
from tests.asgi import running

URL = "http://mlforge.test"


@dataclass(frozen=True, slots=True)
class Guarded:
    """An application that asks for keys."""

    app: FastAPI
    runtime: Runtime
    client: httpx.AsyncClient
    admin: str
    # `app` as a server calls it, its state handed to each request.
    served: ASGIApp

    async def make(
        self,
        *scopes: Scope,
        pattern: str | None = None,
        lifetime: timedelta | None = None,
    ) -> MadeKey:
        new = NewKey("a test", frozenset(scopes), pattern, lifetime)
        return await self.runtime.identity.keys.create(new)

    async def headers(
        self, *scopes: Scope, pattern: str | None = None
    ) -> dict[str, str]:
        return sent((await self.make(*scopes, pattern=pattern)).token)


def sent(token: str) -> dict[str, str]:
    return {"X-API-Key": token}


@asynccontextmanager
async def guarded(settings: Settings) -> AsyncIterator[Guarded]:
    app = create_app(settings)
    async with running(app) as started:
        transport = httpx.ASGITransport(app=started, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            admin = admin_key_file(settings).read_text().strip()
            yield Guarded(app, app.state.runtime, client, admin, started)


def named(scopes: Iterable[Scope]) -> str:
    return " or ".join(f'"{scope}"' for scope in scopes)
