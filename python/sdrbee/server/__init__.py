"""The worker: image generation over HTTP, a plain ASGI application without a web framework."""
