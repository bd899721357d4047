"""What a worker accepts; published under /v1/capabilities."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of requests and of what is kept. Sizes in bytes, times in seconds."""

    queue: int = 64
    """Pictures that may wait."""
    jobs_per_key: int = 16
    """Jobs of one API key that may wait or run."""
    connections: int = 1_024
    connections_per_address: int = 64
    """Not for loopback without API keys, and not for trusted proxies."""
    request_line_bytes: int = 8 * KIB
    header_bytes: int = 32 * KIB
    header_fields: int = 100
    header_s: float = 10.0
    """Time for a request's header, from its first byte or the beginning of the connection on."""
    body_grace_s: float = 10.0
    """The windows in which a body must come at `body_bytes_per_s`."""
    body_bytes_per_s: int = KIB
    idle_s: int = 15
    """How long a connection may wait for its next request."""
    body_bytes: int = 64 * MIB
    bodies_in_flight_bytes: int = 256 * MIB
    """All bodies that are being read or answered, together."""
    json_depth: int = 32
    form_parts: int = 64
    form_text_bytes: int = 256 * 1024
    """A field of a form that is no file."""
    prompt_characters: int = 32_000
    images_per_job: int = 10
    adapters: int = 8
    """LoRAs of a request, and as many controls, IP-Adapters and embeddings."""
    steps: int = 1_000
    guidance_scale: float = 1_000.0
    """Of either sign; far larger ones are more than fp32 holds."""
    smallest_side: int = 64
    largest_side: int = 4_096
    pixels: int = 16_777_216
    deadline_s: float = 900.0
    """The longest time from acceptance to the last picture, and that of jobs that ask for none."""
    shortest_deadline_s: float = 0.001
    """Nothing is made in less."""
    streams: int = 256
    """Event streams that may be open."""
    kept_jobs_s: float = 3_600.0
    """How long an ended job can be asked for."""
    kept_jobs: int = 10_000
    """The oldest ended jobs go when there are more."""
    kept_pictures_bytes: int = 1 << 30
    """The oldest results go when all together are larger."""
    idempotency_s: float = 86_400.0
    """How long an Idempotency-Key means its job."""
