"""The headers of pages for browsers: nothing from elsewhere, in nobody's frame."""

import base64
import hashlib
import re
from typing import Final

from starlette.responses import HTMLResponse

_INLINE: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_POLICY: Final = (
    "default-src 'self'",
    # Redoc makes its styles as it goes, and searches in a worker of its own making.
    "style-src 'self' 'unsafe-inline'",
    "worker-src blob:",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
)
_ALWAYS: Final = {
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def guarded(page: HTMLResponse) -> HTMLResponse:
    """The same page, which may run its own scripts and no others.

    Its inline scripts are named by their hash (Content Security Policy 3, 6.7.3.3).
    """
    hashes = [_hash_of(script) for script in _INLINE.findall(bytes(page.body))]
    scripts = " ".join(["script-src 'self'", *hashes])
    page.headers["Content-Security-Policy"] = "; ".join([*_POLICY, scripts])
    page.headers.update(_ALWAYS)
    return page


def _hash_of(script: bytes) -> str:
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    return f"'sha256-{digest}'"
