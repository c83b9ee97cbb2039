"""How much memory there is, by the machine and by its control group."""

from pathlib import Path

import psutil
import pytest

from app.kit.memory import available_memory, budget_bytes


def test_a_control_group_that_allows_less_than_the_machine_has_is_the_limit(
    tmp_path: Path,
) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("104857600\n")
    assert available_memory([limit]) == 100 * 2**20


@pytest.mark.parametrize("said", ["max\n", str(2**63 - 4096), ""])
def test_without_a_limit_it_is_what_the_machine_has(tmp_path: Path, said: str) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(said)
    assert available_memory([limit, tmp_path / "absent"]) == (
        psutil.virtual_memory().total
    )


def test_models_get_half_of_it() -> None:
    memory = available_memory()
    assert memory is not None
    assert budget_bytes(0, processes=2) == memory // 2 // 2
    assert budget_bytes(1000, processes=4) == 250
