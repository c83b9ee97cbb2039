"""The folder that a proxy shows this server under, whether it strips that or not."""

from starlette.types import ASGIApp, Receive, Scope, Send


class BasePath:
    """Routes by what follows `base`, where a path begins with it; `/docs` and its
    like then write links that work behind the proxy."""

    def __init__(self, app: ASGIApp, base: str) -> None:
        self.app = app
        self.base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            is_whole = path == self.base or path.startswith(f"{self.base}/")
            full = path if is_whole else f"{self.base}{path}"
            scope = {**scope, "root_path": self.base, "path": full}
        await self.app(scope, receive, send)
