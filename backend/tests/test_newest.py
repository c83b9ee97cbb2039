"""Which pins count as patched."""

import pytest

from scripts import newest
from scripts.lock import BACKEND, RUNTIME_LOCK


def test_every_package_that_is_watched_is_pinned() -> None:
    pinned = newest.pins((BACKEND / RUNTIME_LOCK).read_text())
    assert set(newest.EXPOSED) <= set(pinned)


def test_a_pin_with_extras_and_markers_is_read() -> None:
    text = (
        "a-b[x,y]==1.2.3 \\\n    --hash=sha256:00\n"
        "c==4.5 ; python_version < '4'\n# d==6\n"
    )
    assert newest.pins(text) == {"a-b": "1.2.3", "c": "4.5"}


@pytest.mark.parametrize(
    ("patches", "status", "told"),
    [("1.2.3", 0, ""), ("1.2.4", 1, "Behind in patches: onnx. Run: make upgrade\n")],
)
def test_only_a_missing_patch_is_an_error(
    patches: str,
    status: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def index(requirements: list[str]) -> dict[str, str]:
        asked = requirements[0]
        return {"onnx": patches if asked == "onnx==1.2.*" else "2.0.0"}

    monkeypatch.setattr(newest, "EXPOSED", ("onnx",))
    monkeypatch.setattr(newest, "pins", lambda _: {"onnx": "1.2.3"})
    monkeypatch.setattr(newest, "newest", index)
    assert newest.main() == status
    printed = capsys.readouterr()
    assert printed.err == told
    assert printed.out == f"onnx 1.2.3: newest patch {patches}, newest version 2.0.0\n"
