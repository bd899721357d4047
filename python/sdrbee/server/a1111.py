"""A1111's dialect under /sdapi/v1: a synchronous route for pictures, and what its clients ask."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

import sdrbee
from sdrbee.model_files import adapter_names
from sdrbee.server import a1111_controls
from sdrbee.server.a1111_fields import Fields, wrong
from sdrbee.server.a1111_names import sampler_items, sampler_label, schedule_items
from sdrbee.server.a1111_request import (
    UPSCALERS,
    Settings,
    in_a1111_names,
    read_img2img,
    read_txt2img,
)
from sdrbee.server.a1111_schema import ENDPOINTS, a1111_error, fixed
from sdrbee.server.a1111_words import word_items
from sdrbee.server.errors import ApiError, api_error
from sdrbee.server.http import Request, Response, Router, json_response
from sdrbee.server.infotext import parse_infotext, picture_texts
from sdrbee.server.models import resolve_model
from sdrbee.server.record import HEARTBEAT_S
from sdrbee.server.synchronous import Pictures, finished, submit

if TYPE_CHECKING:
    from sdrbee.server.app import Worker
    from sdrbee.server.record import Record
    from sdrbee.server.wire import Submission

PREFIX = "/sdapi/v1/"


def add_routes(router: Router, worker: Worker) -> None:
    """The subset of A1111's routes, under its paths."""
    dialect = _A1111(worker)
    router.add_error_form(PREFIX, a1111_error)
    router.add_error_form(a1111_controls.PREFIX, a1111_error)
    for method, name, handler in (
        ("POST", "txt2img", dialect.txt2img),
        ("POST", "img2img", dialect.img2img),
        ("GET", "progress", dialect.progress),
        ("POST", "interrupt", dialect.interrupt),
        ("POST", "skip", dialect.skip),
        ("POST", "png-info", dialect.png_info),
        ("GET", "options", dialect.options),
        ("POST", "options", dialect.set_options),
        ("GET", "sd-models", dialect.models),
        ("POST", "refresh-checkpoints", dialect.refresh_checkpoints),
        ("POST", "unload-checkpoint", dialect.unload_checkpoint),
        ("POST", "reload-checkpoint", dialect.reload_checkpoint),
        ("GET", "memory", dialect.memory),
        ("GET", "loras", dialect.loras),
        ("GET", "embeddings", dialect.embeddings),
    ):
        router.add(method, PREFIX + name, handler, ENDPOINTS[method, name])
    lists = {**_FIXED, "samplers": sampler_items(), "schedulers": schedule_items()}
    for name, value in lists.items():
        router.add("GET", PREFIX + name, _always(value), fixed(name, value))


# Lists that are the same at all times; empty for what isn't done here.
_FIXED: dict[str, Any] = {
    "sd-vae": [],
    "scripts": {"txt2img": [], "img2img": []},
    "script-info": [],
    "upscalers": [
        {"name": name, "model_name": None, "model_path": None, "model_url": None, "scale": 4}
        for name in ("None", *(name for name in UPSCALERS if name != "Latent"))
    ],
    "latent-upscale-modes": [{"name": name} for name in UPSCALERS if name == "Latent"],
    "hypernetworks": [],
    "face-restorers": [],
    "realesrgan-models": [],
    "prompt-styles": [],
    "extensions": [],
    "cmd-flags": {"api": True, "nowebui": True},
}

_IDLE: dict[str, Any] = {
    "progress": 0.0,
    "eta_relative": 0.0,
    "state": {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": "",
        "job_count": 0,
        "job_timestamp": "0",
        "job_no": 0,
        "sampling_step": 0,
        "sampling_steps": 0,
    },
    "current_image": None,
    "textinfo": None,
}


def _always(value: Any) -> Any:
    async def answer(_request: Request) -> Response:
        return json_response(200, value)

    return answer


@dataclass(slots=True)
class _Running:
    """A request on its way, as `progress` tells of it."""

    record: Record
    began: float
    interrupted: bool = False
    skipped: bool = False
    steps: dict[int | None, bytes] = field(default_factory=dict)
    """The last event that told of a step, of each picture."""
    preview: bytes | None = None
    """The last event with a preview."""

    async def watch(self) -> None:
        async for event in self.record.follow(0, HEARTBEAT_S):
            if event is not None and event.data and event.name in ("progress", "preview"):
                self.steps[event.image_index] = event.data
                if event.name == "preview":
                    self.preview = event.data


class _A1111:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._settings: dict[str, Settings] = {}
        self._running: dict[str, list[_Running]] = {}

    async def txt2img(self, request: Request) -> Response:
        return await self._generate(request, img2img=False)

    async def img2img(self, request: Request) -> Response:
        return await self._generate(request, img2img=True)

    async def _generate(self, request: Request, *, img2img: bool) -> Response:
        body = await self._worker.bodies.read_json(request)
        try:
            submission = await self._worker.read(
                request,
                read_img2img if img2img else read_txt2img,
                body,
                self._settings_of(request.caller),
                self._worker.limits,
            )
            record = await submit(self._worker, request, submission)
        except (ApiError, sdrbee.Error) as error:
            raise in_a1111_names(api_error(error)) from None
        running = _Running(record, time.time())
        own = self._running.setdefault(request.caller, [])
        own.append(running)
        watching = asyncio.create_task(running.watch())
        try:
            pictures = await finished(request, record)
        except ApiError:
            if not (running.interrupted or running.skipped):
                raise
            pictures = None
        finally:
            watching.cancel()
            own.remove(running)
            if not own:
                self._running.pop(request.caller, None)
        return json_response(200, _answer(body, submission, record.model, pictures))

    def _settings_of(self, caller: str) -> Settings:
        return self._settings.get(caller, Settings())

    async def progress(self, request: Request) -> Response:
        """The oldest of the caller's requests, and how many pictures wait with it."""
        own = self._running.get(request.caller, [])
        if not own:
            return json_response(200, _IDLE)
        answer = _progress_of(own[0])
        preview = own[0].preview
        if preview is not None and not Fields(request.query).flag("skip_current_image"):
            answer["current_image"] = msgspec.json.decode(preview)["image"]
        return json_response(200, answer)

    async def interrupt(self, request: Request) -> Response:
        """Ends the oldest of the caller's requests, whose answer then has no pictures."""
        for running in self._running.get(request.caller, [])[:1]:
            running.interrupted = True
            await self._worker.book.cancel(running.record)
        return json_response(200, {})

    async def skip(self, request: Request) -> Response:
        for running in self._running.get(request.caller, [])[:1]:
            running.skipped = True
            await self._worker.book.cancel(running.record)
        return json_response(200, None)

    async def png_info(self, request: Request) -> Response:
        body = await self._worker.bodies.read_json(request)
        texts = picture_texts(await self._worker.in_thread(_picture_bytes, body))
        infotext = texts.pop("parameters", "")
        found = parse_infotext(infotext) if infotext else {}
        return json_response(200, {"info": infotext, "items": texts, "parameters": found})

    async def options(self, request: Request) -> Response:
        settings = self._settings_of(request.caller)
        answer = {
            "sd_model_checkpoint": self._model_of(request.caller),
            "sd_checkpoint_hash": "",
            "sd_vae": "Automatic",
            "CLIP_stop_at_last_layers": settings.clip_stop,
            "eta_noise_seed_delta": 0,
            "samples_format": "png",
        }
        return json_response(200, answer)

    async def set_options(self, request: Request) -> Response:
        """Keeps the options for the requests of the same API key, until the worker ends."""
        body = await self._worker.bodies.read_json(request)
        if not isinstance(body, dict):
            raise wrong("body", "a JSON object", body)
        settings = self._settings_of(request.caller).updated(body, "body")
        if settings.model:
            resolve_model(settings.model, self._worker.engine.models)
        self._settings[request.caller] = settings
        return json_response(200, None)

    async def models(self, _request: Request) -> Response:
        answer = [
            {
                "title": name,
                "model_name": name,
                "hash": None,
                "sha256": None,
                "filename": name,
                "config": None,
            }
            for name in self._worker.engine.models
        ]
        return json_response(200, answer)

    async def loras(self, _request: Request) -> Response:
        names = await asyncio.to_thread(adapter_names, "lora")
        answer = [{"name": name, "alias": name, "path": name, "metadata": {}} for name in names]
        return json_response(200, answer)

    async def refresh_checkpoints(self, _request: Request) -> Response:
        return json_response(200, None)

    async def unload_checkpoint(self, request: Request) -> Response:
        """Lets the caller's model go, as soon as no picture is made with it."""
        await asyncio.to_thread(self._worker.engine.unload, self._model_of(request.caller))
        return json_response(200, {})

    async def reload_checkpoint(self, request: Request) -> Response:
        """Answers once the caller's model is loaded."""
        await asyncio.to_thread(self._worker.engine.load, self._model_of(request.caller))
        return json_response(200, {})

    def _model_of(self, caller: str) -> str:
        return resolve_model(self._settings_of(caller).model, self._worker.engine.models)

    async def embeddings(self, _request: Request) -> Response:
        return json_response(200, await asyncio.to_thread(word_items))

    async def memory(self, _request: Request) -> Response:
        page = os.sysconf("SC_PAGE_SIZE")
        total = page * os.sysconf("SC_PHYS_PAGES")
        free = page * os.sysconf("SC_AVPHYS_PAGES")
        ram = {"free": free, "used": total - free, "total": total}
        return json_response(200, {"ram": ram, "cuda": {"error": "unavailable"}})


def _picture_bytes(body: Any) -> bytes:
    text = Fields(body if isinstance(body, dict) else {}).text("image").strip()
    text = text.partition(",")[2] if text[:5].lower() == "data:" else text
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise wrong("image", "a PNG or JPEG picture in base64", text) from None


def _progress_of(running: _Running) -> dict[str, Any]:
    """How far a request is: the mean of its pictures, which are made together."""
    steps = [msgspec.json.decode(event) for event in running.steps.values()]
    count = running.record.submission.fields["count"]
    done = sum(step["step"] / step["total"] for step in steps if step["total"]) / count
    slowest: dict[str, Any] = min(steps, key=lambda step: step["step"], default={})
    started = running.record.started
    since = 0.0 if started is None else time.time() - started
    state = {
        "skipped": running.skipped,
        "interrupted": running.interrupted,
        "job": running.record.job_id,
        "job_count": count,
        "job_timestamp": _timestamp(running.began),
        "job_no": sum(step["step"] == step["total"] for step in steps),
        "sampling_step": slowest.get("step", 0),
        "sampling_steps": slowest.get("total") or 0,
    }
    return {
        **_IDLE,
        "progress": min(max(done, 0.01), 1.0),
        "eta_relative": since / done - since if done else 0.0,
        "state": {**_IDLE["state"], **state},
    }


def _timestamp(when: float) -> str:
    return time.strftime("%Y%m%d%H%M%S", time.localtime(when))


def _answer(
    body: Mapping[str, Any], submission: Submission, model: str, pictures: Pictures | None
) -> dict[str, Any]:
    fields = Fields(body)
    parameters = dict(body)
    if not fields.flag("include_init_images"):
        parameters |= {name: None for name in ("init_images", "mask") if name in body}
    files = pictures.files if pictures else []
    shown = [] if fields.flag("send_images") is False else files
    return {
        "images": [base64.b64encode(file).decode() for file in shown],
        "parameters": parameters,
        "info": msgspec.json.encode(_info(submission, model, pictures)).decode(),
    }


def _info(submission: Submission, model: str, pictures: Pictures | None) -> dict[str, Any]:
    """What A1111 tells of the pictures made; of none when they were interrupted."""
    asked = submission.fields
    texts = [picture_texts(file) for file in pictures.files] if pictures else []
    recipe = msgspec.json.decode(texts[0]["sdrbee"]) if texts and "sdrbee" in texts[0] else {}
    made = {**asked, **recipe.get("request", {})}
    seeds = pictures.seeds if pictures else []
    count = len(seeds)
    prompt, negative = made.get("prompt", ""), made.get("negative_prompt") or ""
    return {
        "prompt": prompt,
        "all_prompts": [prompt] * count,
        "negative_prompt": negative,
        "all_negative_prompts": [negative] * count,
        "seed": seeds[0] if seeds else made.get("seed", -1),
        "all_seeds": seeds,
        "subseed": -1,
        "all_subseeds": [-1] * count,
        "subseed_strength": 0,
        "width": pictures.width if pictures else made.get("width"),
        "height": pictures.height if pictures else made.get("height"),
        "sampler_name": sampler_label(made.get("sampler") or "automatic"),
        "cfg_scale": made.get("guidance_scale"),
        "steps": made.get("steps"),
        "batch_size": count,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": model,
        "sd_model_hash": recipe.get("model", {}).get("sha256", "")[:10],
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": made.get("strength"),
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": [text.get("parameters", "") for text in texts],
        "styles": [],
        "job_timestamp": _timestamp(time.time()),
        "clip_skip": made.get("clip_skip", 0) + 1,
        "is_using_inpainting_conditioning": submission.operation == "image_inpaint",
        "version": f"sdrbee {sdrbee.__version__}",
    }
