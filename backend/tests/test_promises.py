"""The pages that name a proof for each promise name tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {
    "SECURITY.md": [f"SR-{number:02d}" for number in range(1, 39)],
    "docs/RELIABILITY.md": [f"R{number}" for number in range(1, 16)],
}
ROW = re.compile(r"^\| (\w+(?:-\d+)?) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)
PROOF = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")


@pytest.mark.parametrize(("page", "promises"), PAGES.items())
def test_every_promise_has_its_row(page: str, promises: list[str]) -> None:
    assert [row[0] for row in ROW.findall((ROOT / page).read_text())] == promises


@pytest.mark.parametrize("page", PAGES)
def test_every_proof_is_there(page: str) -> None:
    proofs = PROOF.findall((ROOT / page).read_text())
    assert proofs
    for file, name in proofs:
        text = (ROOT / "backend" / file).read_text()
        assert f"def {name}(" in text if name else text, f"{file}::{name}"
