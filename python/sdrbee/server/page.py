"""The page at ``/``: HTML, a style sheet and ES modules, as they lie in ``web``."""

from __future__ import annotations

from pathlib import Path

from sdrbee.server.guard import OPEN_FOLDER
from sdrbee.server.http import Request, Response, Router

_WEB = Path(__file__).parent / "web"

_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# Pictures are made of bytes that the page has read with its key, hence blob: and data:.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = (("content-security-policy", _POLICY), ("referrer-policy", "no-referrer"))


def add_routes(router: Router) -> None:
    """A route for each file; no path that a client sends is ever opened."""
    for path in sorted(_WEB.iterdir()):
        kind = _CONTENT_TYPES.get(path.suffix)
        if kind is not None:
            route = "/" if path.name == "index.html" else OPEN_FOLDER + path.name
            _add(router, route, Response(200, path.read_bytes(), kind, _HEADERS))


def _add(router: Router, route: str, response: Response) -> None:
    async def answer(_request: Request) -> Response:
        return response

    router.add("GET", route, answer)
