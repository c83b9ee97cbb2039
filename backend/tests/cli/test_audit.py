"""`mlforge audit`: told from the database alone, by the exit status."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from tests.live import MLFORGE, environment


def run(folder: Path, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [MLFORGE, *words],
        cwd=folder,
        env=environment({"data_dir": folder / "data"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    return done


def test_a_log_is_verified_exported_and_found_broken(tmp_path: Path) -> None:
    run(tmp_path, "migrate")
    for name in ("one", "two"):
        run(tmp_path, "keys", "create", name, "--scopes", "read")
    whole = run(tmp_path, "audit", "verify").stdout.splitlines()
    assert whole[0] == "The audit log is whole: 2 entries."
    head = whole[1].removeprefix("head ")
    exported = run(tmp_path, "audit", "export").stdout.splitlines()
    assert len(exported) == 2
    assert head in exported[1]
    assert '"actor":"cli","via":"mlforge keys"' in exported[0]
    run(tmp_path, "audit", "verify", "--head", head)
    with closing(sqlite3.connect(tmp_path / "data" / "mlforge.db")) as file:
        file.execute("DROP TRIGGER audit_log_no_delete")
        file.execute("DELETE FROM audit_log WHERE seq = 2")
        file.commit()
    run(tmp_path, "audit", "verify")
    (line,) = run(
        tmp_path, "audit", "verify", "--head", head, status=1
    ).stderr.splitlines()
    assert f"the hash {head} is in no entry" in line
    assert (
        "64 hexadecimal"
        in run(tmp_path, "audit", "verify", "--head", "x", status=1).stderr
    )
