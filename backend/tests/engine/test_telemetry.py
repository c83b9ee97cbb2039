import os
import subprocess
import sys
from pathlib import Path

from tests import graphs
from tests.engine.conftest import WriteModel

PROGRAM = """
import os, sys
from pathlib import Path
import app
assert "onnxruntime" not in sys.modules
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
from app.engine.loading import load_session
from app.engine.plan import SessionPlan
session = load_session(Path(sys.argv[1]), SessionPlan())
assert session.signature.inputs
"""


def test_no_model_run_leaves_a_trace_in_the_home_folder(
    write_model: WriteModel, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    environment.pop("XDG_CACHE_HOME", None)
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(write_model(graphs.add_one()))],
        env=environment,
        timeout=60,
        check=True,
    )
    assert list(home.rglob("*")) == []
