"""Fields of a request and of a model's configuration, against diffusers."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED, Pair
from parity.reference import NOISE, Pixels

SIZE = {"width": 32, "height": 24}
LONG_PROMPT = ", ".join(f"a red circle number {index}" for index in range(40))


def generate_reference(pair: Pair, **arguments: Any) -> tuple[Pixels, Pixels]:
    """diffusers with texts, which it encodes itself, and the folder's scheduler."""
    pipeline = pair.reference.text_to_image
    pipeline.scheduler = copy.deepcopy(pair.reference.scheduler)
    latents = pipeline(
        **{"prompt": PROMPT, "negative_prompt": NEGATIVE_PROMPT, **SIZE, **arguments},
        num_inference_steps=4,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type="latent",
        return_dict=False,
    )[0]
    return pair.reference.decode(latents), latents[0].numpy()


def check(pair: Pair, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    mine = pair.generate(**{**SIZE, "steps": 4, **ours})
    difference = pair.compare(mine, generate_reference(pair, **theirs))
    assert difference.within_tolerance, difference


FIELDS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no negative prompt": {"negative_prompt": None},
    "empty negative prompt": {"negative_prompt": ""},
    "empty prompt": {"prompt": ""},
    "weak guidance": {"guidance_scale": 1.5},
    "guidance of 1 is off": {"guidance_scale": 1.0},
    "guidance of 0 is off": {"guidance_scale": 0.0},
    "rescaled guidance": {"guidance_scale": 9.0, "guidance_rescale": 0.7},
    "eta": {"eta": 0.6},
    "odd prompt": {"prompt": "Caf\u00e9 \U0001f600 it's <|endoftext|> \u732b!!! 123"},
}


@pytest.mark.parametrize("kind", ["sd1", "sd2"])
@pytest.mark.parametrize("name", FIELDS)
def test_field_equals_diffusers(open_pair: Any, kind: str, name: str) -> None:
    check(open_pair(kind), FIELDS[name], FIELDS[name])


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_skipped_layers_equal_transformers(sd1: Pair, clip_skip: int) -> None:
    """diffusers 0.42 can't skip layers with transformers 5, so this is its rule spelt out."""
    pipeline = sd1.reference.text_to_image
    encoder = pipeline.text_encoder
    with torch.no_grad():
        positive, negative = pipeline.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE_PROMPT)
        row = pipeline.tokenizer(PROMPT, padding="max_length", return_tensors="pt").input_ids
        states = encoder(row, output_hidden_states=True).hidden_states[-(clip_skip + 1)]
        skipped = encoder.final_layer_norm(states)
    assert not torch.allclose(positive, skipped)
    theirs = {
        "prompt": None,
        "negative_prompt": None,
        "prompt_embeds": skipped,
        "negative_prompt_embeds": negative,
    }
    check(sd1, {"clip_skip": clip_skip}, theirs)


def test_truncated_prompt_equals_diffusers(sd1: Pair) -> None:
    check(sd1, {"prompt": LONG_PROMPT, "long_prompt": "truncate"}, {"prompt": LONG_PROMPT})


def test_chunked_prompt_equals_chunks_encoded_alone(sd1: Pair) -> None:
    """Two chunks of 75 tokens; the negative prompt is filled up with an empty one."""
    pipeline = sd1.reference.text_to_image
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    prompt = " ".join(["circle"] * 25 + ["square"] * 60)  # no commas: breaks at 75 tokens
    ids = tokenizer(prompt, add_special_tokens=False).input_ids
    assert 75 < len(ids) <= 150
    texts = (
        [ids[:75], ids[75:]],
        [tokenizer(NEGATIVE_PROMPT, add_special_tokens=False).input_ids, []],
    )
    embeddings = []
    for chunks in texts:
        rows = [
            ([tokenizer.bos_token_id, *chunk] + [tokenizer.eos_token_id] * 77)[:77]
            for chunk in chunks
        ]
        with torch.no_grad():
            states = encoder(torch.tensor(rows))[0]
        embeddings.append(states.reshape(1, 154, -1))
    theirs = {
        "prompt": None,
        "negative_prompt": None,
        "prompt_embeds": embeddings[0],
        "negative_prompt_embeds": embeddings[1],
    }
    check(sd1, {"prompt": prompt, "long_prompt": "chunk"}, theirs)


def test_each_picture_of_a_request_has_its_own_seed(sd1: Pair) -> None:
    fields = {"prompt": PROMPT, "steps": 3, "output": "latent", **SIZE}
    pictures = sd1.model.generate_batch(
        [_request(seed=SEED + index, **fields) for index in range(3)]
    )
    for index, picture in enumerate(pictures):
        alone = sd1.model.generate(**fields, seed=SEED + index)
        assert sd1.compare((picture, picture), (alone, alone)).latents < 1e-5


def _request(**fields: Any) -> Any:
    import sdrbee

    return sdrbee.GenerationRequest(**fields)


# What model folders hold: the class and the options decide the defaults.
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1}),
    "ddim v": ("DDIMScheduler", {"prediction_type": "v_prediction", "clip_sample": False}),
    "ddim clipped": ("DDIMScheduler", {"clip_sample": True, "clip_sample_range": 1.5}),
    "ddim thresholded": ("DDIMScheduler", {"clip_sample": False, "thresholding": True}),
    "ddim zero snr": (
        "DDIMScheduler",
        {
            "rescale_betas_zero_snr": True,
            "prediction_type": "v_prediction",
            "timestep_spacing": "trailing",
            "clip_sample": False,
        },
    ),
    "ddpm large": ("DDPMScheduler", {"variance_type": "fixed_large", "clip_sample": False}),
    "euler zero snr": (
        "EulerDiscreteScheduler",
        {
            "rescale_betas_zero_snr": True,
            "prediction_type": "v_prediction",
            "timestep_spacing": "trailing",
        },
    ),
    "euler ancestral zero snr": (
        "EulerAncestralDiscreteScheduler",
        {
            "rescale_betas_zero_snr": True,
            "prediction_type": "v_prediction",
            "timestep_spacing": "trailing",
        },
    ),
    "euler ends above 0": ("EulerDiscreteScheduler", {"final_sigmas_type": "sigma_min"}),
    "dpm order 3": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "dpm heun": ("DPMSolverMultistepScheduler", {"solver_type": "heun"}),
    "dpm karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpm euler at final": ("DPMSolverMultistepScheduler", {"euler_at_final": True}),
    "dpm sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpm on noise": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
    ),
    "unipc order 3": ("UniPCMultistepScheduler", {"solver_order": 3}),
    "unipc bh1": (
        "UniPCMultistepScheduler",
        {"solver_type": "bh1", "final_sigmas_type": "sigma_min"},
    ),
    "unipc on noise": (
        "UniPCMultistepScheduler",
        {"predict_x0": False, "final_sigmas_type": "sigma_min"},
    ),
    "deis order 3": ("DEISMultistepScheduler", {"solver_order": 3}),
    "linear betas": ("DDIMScheduler", {"beta_schedule": "linear", "clip_sample": False}),
    "cosine betas": ("DDIMScheduler", {"beta_schedule": "squaredcos_cap_v2", "clip_sample": False}),
    "500 training steps": ("EulerDiscreteScheduler", {"num_train_timesteps": 500}),
    "lcm": ("LCMScheduler", {"original_inference_steps": 40}),
}


def with_scheduler(pair: Pair, folder: Path, class_name: str, options: dict[str, Any]) -> None:
    """Copies the model with another scheduler_config.json; model_index.json stays as it is."""
    shutil.copytree(pair.folder, folder)
    getattr(diffusers, class_name)(**NOISE | options).save_pretrained(folder / "scheduler")


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_scheduler_config_of_the_folder_is_obeyed(sd1: Pair, tmp_path: Path, name: str) -> None:
    class_name, options = CONFIGURATIONS[name]
    folder = tmp_path / "model"
    with_scheduler(sd1, folder, class_name, options)
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", class_name]
    (folder / "model_index.json").write_text(json.dumps(index))
    pair = Pair(folder, "cpu")
    assert type(pair.reference.scheduler).__name__ == class_name
    check(pair, {}, {})


def test_scheduler_class_comes_from_the_index(sd1: Pair, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with_scheduler(sd1, folder, "EulerDiscreteScheduler", {"timestep_spacing": "trailing"})
    pair = Pair(folder, "cpu")
    assert type(pair.reference.scheduler).__name__ == "DDIMScheduler"
    check(pair, {}, {})
