"""One picture as a value: determinism, saving, cancelling, batches, recipes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sdrbee

PROMPT = "a large red circle on a blue background"
# Samplers whose next step depends on more than the latents: history, noise draws, both.
SAMPLERS_WITH_STATE = [
    "dpmpp_2m",
    "dpmpp_sde",
    "dpmpp_3m_sde",
    "unipc",
    "lms",
    "ipndm",
    "pndm",
    "euler_ancestral",
    "heun",
    "res_multistep",
    "er_sde",
    "sa_solver",
    "gradient_estimation",
]
# shapes has zero terminal SNR, which sigma samplers meet with a huge but finite first sigma.
STEPS = 4


@pytest.fixture(scope="module")
def model() -> sdrbee.Model:
    return sdrbee.load("shapes", device="cpu", dtype="fp32")


def latents(model: sdrbee.Model, **fields: object) -> np.ndarray:
    fields = {"seed": 7, "steps": STEPS, "output": "latent"} | fields
    return np.asarray(model.generate(PROMPT, **fields))


def scene(width: int = 128, height: int = 128) -> np.ndarray:
    """A red square on a blue ground, in colours that the built-in model knows."""
    picture = np.full((height, width, 3), (40, 75, 210), np.uint8)
    picture[32:96, 32:96] = (220, 40, 40)
    return picture


def right_half_mask(width: int = 128, height: int = 128) -> np.ndarray:
    mask = np.zeros((height, width, 1), np.uint8)
    mask[:, width // 2 :] = 255
    return mask


def test_the_same_request_gives_the_same_bits(model: sdrbee.Model) -> None:
    first = latents(model, sampler="euler_ancestral")
    latents(model, seed=8, sampler="dpmpp_2m")
    np.testing.assert_array_equal(first, latents(model, sampler="euler_ancestral"))


def test_seeds_differ(model: sdrbee.Model) -> None:
    assert not np.array_equal(latents(model, seed=1), latents(model, seed=2))


CONTINUE = """
import sys, pathlib, numpy as np, sdrbee
folder = pathlib.Path(sys.argv[1])
model = sdrbee.load("shapes", device="cpu", dtype="fp32")
for path in sorted(folder.glob("*.saved")):
    generation = model.restore(path.read_bytes())
    while not generation.done:
        model.advance(generation)
    np.save(path.with_suffix(".npy"), np.asarray(model.finish(generation)))
"""


def save_at_every_step(
    model: sdrbee.Model, folder: Path, name: str, **fields: object
) -> np.ndarray:
    """Runs a request to its end, writing the generation before every step."""
    request = sdrbee.GenerationRequest(prompt=PROMPT, seed=7, output="latent", **fields)
    generation = model.begin(request)
    while not generation.done:
        (folder / f"{name}-{generation.step}.saved").write_bytes(model.save(generation))
        model.advance(generation)
    return np.asarray(model.finish(generation))


def test_a_fresh_process_continues_a_saved_generation_bit_by_bit(
    model: sdrbee.Model, tmp_path: Path
) -> None:
    expected = {
        sampler: save_at_every_step(model, tmp_path, sampler, sampler=sampler, steps=STEPS)
        for sampler in SAMPLERS_WITH_STATE
    }
    expected["inpaint"] = save_at_every_step(
        model, tmp_path, "inpaint", steps=STEPS, image=scene(), mask=right_half_mask(), strength=0.8
    )
    subprocess.run([sys.executable, "-c", CONTINUE, str(tmp_path)], check=True)
    finished = sorted(tmp_path.glob("*.npy"))
    assert len(finished) >= len(expected) * 3
    for path in finished:
        name = path.stem.rsplit("-", 1)[0]
        np.testing.assert_array_equal(np.load(path), expected[name], err_msg=path.name)


def test_a_saved_generation_of_another_model_is_refused(model: sdrbee.Model) -> None:
    saved = model.save(model.begin(sdrbee.GenerationRequest(prompt=PROMPT, steps=STEPS)))
    other = sdrbee.load("shapes", device="cpu", dtype="bf16")
    with pytest.raises(sdrbee.CheckpointError, match="belongs to the model"):
        other.restore(saved)


def test_damaged_saved_generations_are_refused(model: sdrbee.Model) -> None:
    saved = model.save(model.begin(sdrbee.GenerationRequest(prompt=PROMPT, steps=STEPS)))
    for damaged in (b"", saved[:50], saved[:-9], b"\xff" * 100):
        with pytest.raises(sdrbee.CheckpointError):
            model.restore(damaged)


def test_threads_change_the_result_by_rounding_only(model: sdrbee.Model) -> None:
    threads = sdrbee.system_info().threads
    reference = latents(model)
    try:
        sdrbee.set_threads(1 if threads > 1 else 2)
        other = latents(model)
    finally:
        sdrbee.set_threads(threads)
    assert np.linalg.norm(other - reference) / np.linalg.norm(reference) < 1e-5


def test_cancelling_ends_within_one_step(model: sdrbee.Model) -> None:
    token = sdrbee.CancelToken()
    seen: list[int] = []

    def on_step(step: int, total: int | None, preview: object) -> None:
        seen.append(step)
        if step == 2:
            token.cancel()

    with pytest.raises(sdrbee.Cancelled):
        model.generate(PROMPT, steps=10, seed=1, on_step=on_step, cancel=token)
    assert seen == [1, 2]


def test_an_exception_of_the_observer_comes_out(model: sdrbee.Model) -> None:
    def on_step(step: int, total: int | None, preview: object) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        model.generate(PROMPT, steps=3, seed=1, on_step=on_step)


def test_picture_i_of_a_count_has_seed_plus_i(model: sdrbee.Model) -> None:
    pictures = model.generate(PROMPT, count=3, seed=5, steps=2)
    assert [picture.seed for picture in pictures] == [5, 6, 7]
    single = model.generate(PROMPT, seed=6, steps=2)
    assert bytes(pictures[1]) == bytes(single)


def test_a_batch_equals_single_runs(model: sdrbee.Model) -> None:
    requests = [
        sdrbee.GenerationRequest(prompt=PROMPT, seed=1, steps=3, output="latent"),
        sdrbee.GenerationRequest(
            prompt="a ring", seed=2, steps=5, sampler="heun", guidance_scale=1.0, output="latent"
        ),
        sdrbee.GenerationRequest(
            prompt="a star", seed=3, steps=4, sampler="dpmpp_2m", output="latent"
        ),
    ]
    together = model.generate_batch(requests)
    for request, batched in zip(requests, together, strict=True):
        (alone,) = model.generate_batch([request])
        assert np.linalg.norm(batched - alone) / np.linalg.norm(alone) < 1e-5


def test_exact_requests_keep_their_bits_in_a_batch(model: sdrbee.Model) -> None:
    def request(seed: int) -> sdrbee.GenerationRequest:
        return sdrbee.GenerationRequest(
            prompt=PROMPT, seed=seed, steps=3, output="latent", exact=True
        )

    together = model.generate_batch([request(1), request(2)])
    np.testing.assert_array_equal(together[1], model.generate_batch([request(2)])[0])


def test_the_last_fast_preview_looks_like_the_picture(model: sdrbee.Model) -> None:
    previews: list[np.ndarray] = []

    def on_step(step: int, total: int | None, preview: sdrbee.Image | None) -> None:
        assert preview is not None
        previews.append(np.asarray(preview).astype(float))

    image = model.generate(PROMPT, steps=6, seed=3, preview="fast", on_step=on_step)
    small = np.asarray(image).reshape(16, 8, 16, 8, 3).mean(axis=(1, 3))
    assert len(previews) == 6
    assert previews[-1].shape == small.shape
    assert np.corrcoef(previews[-1].ravel(), small.ravel())[0, 1] > 0.9


def test_full_previews_are_as_large_as_the_picture(model: sdrbee.Model) -> None:
    sizes: list[tuple[int, ...]] = []

    def on_step(step: int, total: int | None, preview: sdrbee.Image | None) -> None:
        sizes.append(np.asarray(preview).shape)

    model.generate(PROMPT, steps=2, seed=3, preview="full", on_step=on_step)
    assert sizes == [(128, 128, 3)] * 2


def test_unmasked_pixels_come_back_untouched(model: sdrbee.Model) -> None:
    source = scene(133, 130)
    mask = right_half_mask(133, 130)
    image = np.asarray(
        model.generate(PROMPT, image=source, mask=mask, strength=0.9, steps=4, seed=1)
    )
    assert image.shape == source.shape
    kept = mask[..., 0] == 0
    np.testing.assert_array_equal(image[kept], source[kept])
    assert not np.array_equal(image[~kept], source[~kept])


def test_low_strength_stays_close_to_the_source(model: sdrbee.Model) -> None:
    def distance(strength: float) -> float:
        made = model.generate(PROMPT, image=scene(), strength=strength, steps=10, seed=1)
        return float(np.abs(np.asarray(made).astype(float) - scene()).mean())

    assert distance(0.1) < distance(0.9)


def test_a_strength_that_leaves_no_step_is_refused(model: sdrbee.Model) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match="strength"):
        model.generate(PROMPT, image=scene(), strength=0.01, steps=4)


def test_a_long_prompt_is_chunked_or_cut_with_a_warning(model: sdrbee.Model) -> None:
    long = ", ".join([PROMPT] * 20) + ", a green star"
    longer = long + " left of a yellow heart"

    def run(prompt: str, rule: str) -> np.ndarray:
        return np.asarray(
            model.generate(prompt, long_prompt=rule, steps=2, seed=1, output="latent")
        )

    assert not np.array_equal(run(long, "chunk"), run(longer, "chunk"))
    with pytest.warns(UserWarning, match=r"part: 'circle on a blue .*\.\.\. and \d+ more bytes"):
        cut = run(longer, "truncate")
    with pytest.warns(UserWarning, match="the prompt was cut"):
        np.testing.assert_array_equal(cut, run(long, "truncate"))


def test_an_empty_prompt_works(model: sdrbee.Model) -> None:
    assert np.isfinite(model.generate("", steps=2, seed=1, output="float")).all()


def test_replay_makes_the_same_picture(model: sdrbee.Model, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    image = model.generate(PROMPT, steps=3, seed=11, sampler="euler_ancestral", clip_skip=1)
    image.save(path)
    assert bytes(sdrbee.replay(path)) == bytes(image)


def test_replay_names_a_missing_or_other_input(model: sdrbee.Model, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    source, mask = scene(), right_half_mask()
    image = model.generate(PROMPT, image=source, mask=mask, strength=0.7, steps=4, seed=2)
    image.save(path)
    again = sdrbee.replay(path, image=source, mask=mask, model=model)
    assert bytes(again) == bytes(image)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[mask\].*SHA-256"):
        sdrbee.replay(path, image=source, model=model)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[image\] expected the picture with SHA-256"):
        sdrbee.replay(path, image=255 - source, mask=mask, model=model)


def test_replay_refuses_another_dtype(model: sdrbee.Model, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    model.generate(PROMPT, steps=2, seed=2).save(path)
    other = sdrbee.load("shapes", device="cpu", dtype="bf16")
    with pytest.raises(sdrbee.InvalidRequest, match="dtype"):
        sdrbee.replay(path, model=other)


def test_bf16_stays_near_fp32(model: sdrbee.Model) -> None:
    half = sdrbee.load("shapes", device="cpu", dtype="bf16")
    reference, other = latents(model, steps=2), latents(half, steps=2)
    assert np.linalg.norm(other - reference) / np.linalg.norm(reference) < 3e-2


OUT_OF_MEMORY = """
import resource, sdrbee
model = sdrbee.load("shapes", device="cpu", dtype="fp32")
model.generate("a star", steps=1, seed=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20), resource.RLIM_INFINITY))
try:
    model.generate("a star", steps=1, seed=1, width=4096, height=4096)
except sdrbee.OutOfMemory as error:
    print("refused:", error)
model.generate("a star", steps=1, seed=1)
print("works again")
"""


def test_out_of_memory_is_typed_and_the_next_job_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "refused:" in done.stdout
    assert "works again" in done.stdout


SHORT_OF_MEMORY = """
import resource, warnings, numpy as np, sdrbee
model = sdrbee.load("shapes", device="cpu", dtype="fp32")
request = sdrbee.GenerationRequest(
    prompt="", steps=1, seed=1, width=640, height=640, guidance_scale=1.0, output="float"
)
generation = model.begin(request)
model.advance(generation)
whole = np.asarray(model.finish(generation))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for headroom in range(320, 0, -20):  # a whole decode needs some 250 MiB
        limit = used + (headroom << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        tiled = np.asarray(model.finish(generation))
        if caught:
            break
print(*(str(warning.message) for warning in caught))
print(np.abs(tiled - whole).max())
"""


def test_a_picture_too_large_for_memory_is_decoded_in_tiles() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    warning, difference = done.stdout.splitlines()
    assert "decoded in tiles" in warning
    assert float(difference) < 1e-4
