"""ImageModel is sealed: a subclass outside of the registry's families does not compile."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import sdrbee
from sdrbee import _torch_runtime

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
#include "sdrbee/models/image_model.h"

struct Foreign final : sdrbee::ImageModel {{
  {constructor}
  const sdrbee::ModelInfo& info() const override;
  const std::string& sha256() override;
  sdrbee::EncodedPrompts encode(std::span<const sdrbee::Prompt>) override;
  sdrbee::Denoiser& denoiser() override;
  sdrbee::Autoencoder& autoencoder() override;
  sdrbee::Device device() const override;
}};
{use}
"""


def compile_program(tmp_path: Path, constructor: str, use: str) -> subprocess.CompletedProcess[str]:
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    source = tmp_path / "foreign.cpp"
    source.write_text(PROGRAM.format(constructor=constructor, use=use))
    include = _torch_runtime._find_package() / "include"
    return subprocess.run(
        [
            compiler,
            "-std=c++20",
            "-fsyntax-only",
            "-DAT_PER_OPERATOR_HEADERS",
            f"-I{ROOT / 'cpp'}",
            f"-isystem{include}",
            str(source),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_subclass_that_is_handed_the_token_compiles(tmp_path: Path) -> None:
    done = compile_program(
        tmp_path, "explicit Foreign(sdrbee::Sealed token) : ImageModel(token) {}", ""
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "constructor",
    [
        "Foreign() {}",
        "Foreign() : ImageModel(sdrbee::Sealed()) {}",
        "Foreign() : ImageModel({}) {}",
        "Foreign() : ImageModel(sdrbee::Sealed{}) {}",
    ],
)
def test_a_foreign_subclass_does_not_compile(tmp_path: Path, constructor: str) -> None:
    done = compile_program(tmp_path, constructor, "void use() { Foreign foreign; }")
    assert done.returncode != 0
    assert "Sealed" in done.stderr


def test_the_registry_lists_its_families() -> None:
    families = {family.id: family for family in sdrbee.families()}
    assert "stable_diffusion" in families
    for family in families.values():
        assert family.description
        assert family.variants
        assert all(variant.id and variant.description for variant in family.variants)
