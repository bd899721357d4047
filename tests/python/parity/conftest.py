"""Tiny pipelines, written once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from parity.pair import Pair
from parity.reference import write_pipeline
from parity.unet_families import KINDS, OpenVariant, VariantPair

import sdrbee
from sdrbee._native import set_threads


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks lose time when they are shared out."""
    before = torch.get_num_threads(), sdrbee.system_info().threads
    torch.set_num_threads(1)
    set_threads(1)
    yield
    torch.set_num_threads(before[0])
    set_threads(before[1])


@pytest.fixture(scope="session")
def open_pair(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Callable[[str], Pair]:
    """Opens a kind of tiny pipeline ("sd1" or "sd2"), once a session."""
    pairs: dict[str, Pair] = {}

    def open_kind(kind: str) -> Pair:
        if kind not in pairs:
            folder = tmp_path_factory.mktemp("parity") / kind
            write_pipeline(folder, kind)
            pairs[kind] = Pair(folder, pytestconfig.getoption("--parity-device"))
        return pairs[kind]

    return open_kind


@pytest.fixture(scope="session")
def sd1(open_pair: Callable[[str], Pair]) -> Pair:
    return open_pair("sd1")


@pytest.fixture(scope="session")
def sd2(open_pair: Callable[[str], Pair]) -> Pair:
    return open_pair("sd2")


@pytest.fixture(scope="session")
def open_variant(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> OpenVariant:
    """Opens a variant, once a session."""
    pairs: dict[str, VariantPair] = {}

    def open_kind(name: str) -> VariantPair:
        if name not in pairs:
            folder = tmp_path_factory.mktemp("variant") / name
            device = pytestconfig.getoption("--parity-device")
            pairs[name] = VariantPair(folder, KINDS[name], device)
        return pairs[name]

    return open_kind
