"""Components from other places than the model: folders and split files, in any naming."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from model_folder import SHAPES
from test_single_file import (
    TOKENIZER,
    naming,
    original_open_clip,
    original_unet_and_vae,
    tiny_pipeline,
    tiny_vae,
    tiny_xl_pipeline,
)

import sdrbee

if TYPE_CHECKING:
    import torch

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
save_file = pytest.importorskip("safetensors.torch").save_file

State = dict[str, "torch.Tensor"]


def save(path: Path, tensors: State) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def below(weights: State, prefix: str) -> State:
    return {name[len(prefix) :]: t for name, t in weights.items() if name.startswith(prefix)}


def picture(model: sdrbee.Model) -> Any:
    return model.generate(
        "a red circle!", steps=3, seed=1, output="float", width=32, height=32, guidance_scale=3
    )


def load(path: Path | str, **components: Path) -> sdrbee.Model:
    return sdrbee.load(path, device="cpu", dtype="fp32", **components)


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny XL as a diffusers folder, and its parts as split files in two namings."""
    root = tmp_path_factory.mktemp("xl")
    pipeline = tiny_xl_pipeline("xl")
    pipeline.save_pretrained(root / "folder")
    original = original_unet_and_vae(pipeline, [False, True])
    save(root / "whole.safetensors", original)
    parts = root / "original"
    save(parts / "unet.safetensors", below(original, "model.diffusion_model."))
    save(parts / "vae.safetensors", below(original, "first_stage_model."))
    first = naming().flat_clip_state(pipeline.text_encoder)
    save(parts / "clip_l.safetensors", {f"text_model.{name}": t for name, t in first.items()})
    second = original_open_clip(pipeline.text_encoder_2, "")
    save(parts / "clip_g.safetensors", below(second, "model."))
    shutil.copytree(TOKENIZER, parts / "tokenizer")
    parts = root / "current"
    save(parts / "unet.safetensors", pipeline.unet.state_dict())
    save(parts / "vae.safetensors", pipeline.vae.state_dict())
    save(parts / "clip_l.safetensors", pipeline.text_encoder.state_dict())
    second = pipeline.text_encoder_2.state_dict()
    # As a file of the whole CLIP has it.
    second |= {"vision_model.x.weight": torch.zeros(2), "logit_scale": torch.zeros(1)}
    save(parts / "clip_g.safetensors", second)
    shutil.copytree(TOKENIZER, parts / "tokenizer")
    return root


def split_files(folder: Path) -> dict[str, Path]:
    return {
        "vae": folder / "vae.safetensors",
        "text_encoder": folder / "clip_l.safetensors",
        "text_encoder_2": folder / "clip_g.safetensors",
    }


@pytest.mark.parametrize("names", ["original", "current"])
@pytest.mark.filterwarnings("ignore:.*the file can't tell xl from turbo")
def test_split_files_give_the_picture_of_the_folder(xl: Path, names: str) -> None:
    model = load(xl / names / "unet.safetensors", **split_files(xl / names))
    assert model.info.variant == "xl"
    assert model.info.components["vae"] == str(xl / names / "vae.safetensors")
    # The tokenizer beside the files pads with another token than the folder's second one; the
    # file's model says which.
    assert np.array_equal(picture(model), picture(load(xl / "folder")))


@pytest.mark.filterwarnings("ignore:.*the file can't tell xl from turbo")
def test_a_model_in_a_file_lends_and_takes_components(xl: Path) -> None:
    other = load(xl / "folder", transformer=xl / "original" / "unet.safetensors")
    assert np.array_equal(picture(other), picture(load(xl / "folder")))
    lent = load("shapes", vae=xl / "folder")
    assert lent.info.family == "stable_diffusion"
    assert picture(lent).shape == (32, 32, 3)


@pytest.fixture(scope="module")
def other_vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `vae` of another autoencoder in the size of the tiny models' own."""
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("other") / "vae"
    tiny_vae(0.5).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("v1") / "folder"
    tiny_pipeline().save_pretrained(path)
    return path


def with_vae(folder: Path, vae: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    shutil.rmtree(target / "vae")
    shutil.copytree(vae, target / "vae")
    return target


def test_an_autoencoder_from_a_folder_replaces_the_own_one(
    tmp_path: Path, folder: Path, other_vae: Path
) -> None:
    expected = picture(load(with_vae(folder, other_vae, tmp_path / "whole")))
    assert not np.array_equal(expected, picture(load(folder)))
    for place in (other_vae, tmp_path / "whole"):
        assert np.array_equal(picture(load(folder, vae=place)), expected)


def test_a_file_takes_what_no_tensor_tells_from_the_model(
    tmp_path: Path, folder: Path, other_vae: Path
) -> None:
    whole = with_vae(folder, other_vae, tmp_path / "whole")
    config = whole / "vae" / "config.json"
    content = json.loads(config.read_text()) | {"scaling_factor": 0.18215}
    config.write_text(json.dumps(content))
    file = other_vae / "diffusion_pytorch_model.safetensors"
    assert np.array_equal(picture(load(folder, vae=file)), picture(load(whole)))


@pytest.mark.filterwarnings("ignore:.*the file can't tell xl from turbo")
def test_a_file_with_more_lends_its_tensors_only(tmp_path: Path, xl: Path) -> None:
    """What no tensor tells is the model's, not what is usual for the file's own kind."""
    folder = shutil.copytree(xl / "folder", tmp_path / "folder")
    config = folder / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"scaling_factor": 0.7}))
    assert np.array_equal(
        picture(load(folder, vae=xl / "whole.safetensors")), picture(load(folder))
    )
    assert not np.array_equal(picture(load(folder)), picture(load(xl / "folder")))


def test_the_own_component_need_not_be_there(tmp_path: Path, folder: Path, other_vae: Path) -> None:
    whole = with_vae(folder, other_vae, tmp_path / "whole")
    expected = picture(load(whole))
    shutil.rmtree(whole / "vae")
    assert np.array_equal(picture(load(whole, vae=other_vae)), expected)


def test_the_recipe_names_the_components_and_their_hash(
    tmp_path: Path, folder: Path, other_vae: Path
) -> None:
    fields: dict[str, Any] = {"steps": 2, "seed": 1, "width": 32, "height": 32}
    own = load(folder).generate("a ring", **fields).recipe
    image = load(folder, vae=other_vae).generate("a ring", **fields)
    assert own is not None
    assert image.recipe is not None
    assert "components" not in own["model"]
    assert image.recipe["model"]["components"] == {"vae": str(other_vae)}
    assert image.recipe["model"]["sha256"] != own["model"]["sha256"]
    image.save(tmp_path / "ring.png")
    assert bytes(sdrbee.replay(tmp_path / "ring.png")) == bytes(image)
    changed = shutil.copytree(other_vae, tmp_path / "vae")
    content = json.loads((changed / "config.json").read_text()) | {"scaling_factor": 0.25}
    (changed / "config.json").write_text(json.dumps(content))
    with pytest.raises(sdrbee.InvalidRequest, match="model/sha256"):
        sdrbee.replay(tmp_path / "ring.png", model=load(folder, vae=changed))


def lora(path: Path) -> Path:
    names = ("lora_unet_down_blocks_0.lora_down.weight", "lora_unet_down_blocks_0.alpha")
    return save(path, {name: torch.zeros(4) for name in names})


def t5(path: Path) -> Path:
    config = transformers.T5Config(
        d_model=16, d_ff=32, d_kv=8, num_heads=2, num_layers=1, vocab_size=32
    )
    weights = transformers.T5EncoderModel(config).state_dict()
    del weights["encoder.embed_tokens.weight"]
    return save(path, dict(weights))


def controlnet(path: Path) -> Path:
    return save(path, {"controlnet_cond_embedding.conv_in.weight": torch.zeros(4)})


def sixteen_channels(path: Path) -> Path:
    diffusers = pytest.importorskip("diffusers")
    vae = diffusers.AutoencoderKL(block_out_channels=[32], latent_channels=16)
    return save(path, vae.state_dict())


def own_vae(path: Path) -> Path:
    shutil.copy(SHAPES / "vae" / "diffusion_pytorch_model.safetensors", path)
    return path


def own_unet(path: Path) -> Path:
    shutil.copy(SHAPES / "unet" / "diffusion_pytorch_model.safetensors", path)
    return path


def truncated(path: Path) -> Path:
    path.write_bytes((SHAPES / "vae/diffusion_pytorch_model.safetensors").read_bytes()[:-4])
    return path


def folder_of_nothing(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("component", "make", "error", "pattern"),
    [
        ("vae", lora, sdrbee.UnsupportedModel, r"file is a LoRA.*tensor .lora_unet_"),
        ("vae", own_unet, sdrbee.CheckpointError, r"expected a component 'vae'.*only: unet"),
        (
            "text_encoder",
            t5,
            sdrbee.CheckpointError,
            r"as text_encoder of this model: expected a CLIPTextModel but this is a T5EncoderModel",
        ),
        (
            "transformer",
            own_vae,
            sdrbee.CheckpointError,
            r"as unet of this model: expected a UNet2DConditionModel but this is a AutoencoderKL",
        ),
        (
            "vae",
            sixteen_channels,
            sdrbee.CheckpointError,
            r"'in_channels': expected 16, the 'latent_channels' of .*not of one model",
        ),
        ("vae", truncated, sdrbee.CheckpointError, r"given\.safetensors\]"),
        ("vae", folder_of_nothing, sdrbee.CheckpointError, r"neither"),
        ("text_encoder_2", own_vae, sdrbee.InvalidRequest, r"\[text_encoder_2\].*it has: .*vae"),
    ],
)
def test_a_component_that_does_not_fit_is_told_apart(
    tmp_path: Path,
    component: str,
    make: Callable[[Path], Path],
    error: type[sdrbee.Error],
    pattern: str,
) -> None:
    place = make(tmp_path / "given.safetensors")
    with pytest.raises(error, match=pattern):
        load("shapes", **{component: place})


def test_a_component_that_is_nowhere_is_named() -> None:
    place = Path("none.safetensors").absolute()
    with pytest.raises(sdrbee.CheckpointError, match=rf"\[vae\].*nothing at {place}"):
        load("shapes", vae=place)


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lora, r"this file is a LoRA, which changes a model and is none itself"),
        (controlnet, r"this file is a ControlNet"),
        (own_vae, r"expected a model but this file holds an autoencoder alone"),
        (t5, r"expected a model but this file holds a T5 text encoder alone"),
    ],
)
def test_a_file_that_is_no_model_is_told_what_it_is(
    tmp_path: Path, make: Callable[[Path], Path], pattern: str
) -> None:
    with pytest.raises(sdrbee.UnsupportedModel, match=pattern):
        load(make(tmp_path / "model.safetensors"))


def test_a_denoiser_alone_asks_for_the_rest(xl: Path) -> None:
    file = xl / "original" / "unet.safetensors"
    given = split_files(xl / "original")
    for missing in ("text_encoder", "text_encoder_2", "vae"):
        others = {name: path for name, path in given.items() if name != missing}
        with pytest.raises(
            sdrbee.CheckpointError,
            match=rf"expected a component '{missing}'.*give it as {missing}=",
        ):
            load(file, **others)


def test_one_shard_asks_for_its_index(tmp_path: Path, other_vae: Path) -> None:
    shard = tmp_path / "model-00001-of-00002.safetensors"
    shutil.copy(other_vae / "diffusion_pytorch_model.safetensors", shard)
    with pytest.raises(sdrbee.CheckpointError, match=r"shard 00001 of 00002.*index\.json"):
        load("shapes", vae=shard)


def test_shards_of_another_model_are_refused(tmp_path: Path, folder: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    tiny_vae(0.5).save_pretrained(tmp_path / "vae", max_shard_size="200KB")
    index = tmp_path / "vae" / "diffusion_pytorch_model.safetensors.index.json"
    expected = picture(load(folder, vae=tmp_path / "vae"))
    assert picture(load(folder, vae=index)).shape == expected.shape
    shards = sorted((tmp_path / "vae").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    diffusers.AutoencoderKL(block_out_channels=[32]).save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "diffusion_pytorch_model.safetensors", shards[0])
    with pytest.raises(sdrbee.CheckpointError, match=shards[0].name):
        load(folder, vae=tmp_path / "vae")
