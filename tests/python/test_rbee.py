"""Operations of rbee's contract: their names, and who takes them."""

from __future__ import annotations

import pytest

import sdrbee
from sdrbee.rbee import Operation, TargetServer
from sdrbee.server.operations import OPERATIONS


@pytest.mark.parametrize("name", [*OPERATIONS, "infer", "status", "rhai_script_save", "hive_check"])
def test_pictures_and_what_is_not_the_hives_go_to_the_queen(name: str) -> None:
    operation = Operation({"operation": name, "hive_id": "localhost"})
    assert operation.name() == name
    assert operation.hive_id() == "localhost"
    assert operation.target_server() is TargetServer.QUEEN


@pytest.mark.parametrize("name", ["worker_spawn", "worker_process_list", "model_download"])
def test_workers_and_models_are_the_hives(name: str) -> None:
    operation = Operation({"operation": name})
    assert operation.hive_id() is None
    assert operation.target_server() is TargetServer.HIVE


@pytest.mark.parametrize("body", [{}, {"operation": None}, {"operation": 5}, {"operation": ""}])
def test_an_operation_has_a_name(body: dict[str, object]) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[operation\]"):
        Operation(body)


def test_the_ports_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUEEN_PORT", raising=False)
    monkeypatch.setenv("HIVE_PORT", "9000")
    assert TargetServer.QUEEN.url == "http://localhost:7833"
    assert TargetServer.HIVE.url == "http://localhost:9000"
    monkeypatch.setenv("QUEEN_PORT", "none")
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[QUEEN_PORT\]"):
        _ = TargetServer.QUEEN.url
