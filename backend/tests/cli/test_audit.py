"""`mlforge audit`: told from the database alone, by the exit status."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.cli.conftest import Run


def test_a_log_is_verified_exported_and_found_broken(
    tmp_path: Path, mlforge: Run
) -> None:
    mlforge("migrate")
    for name in ("one", "two"):
        mlforge("keys", "create", name, "--scopes", "read")
    whole = mlforge("audit", "verify").stdout.splitlines()
    assert whole[0] == "The audit log is whole: 2 entries."
    head = whole[1].removeprefix("head ")
    exported = mlforge("audit", "export").stdout.splitlines()
    assert len(exported) == 2
    assert head in exported[1]
    assert '"actor":"cli","via":"mlforge keys"' in exported[0]
    mlforge("audit", "verify", "--head", head)
    with closing(sqlite3.connect(tmp_path / "data" / "mlforge.db")) as file:
        file.execute("DROP TRIGGER audit_log_no_delete")
        file.execute("DELETE FROM audit_log WHERE seq = 2")
        file.commit()
    mlforge("audit", "verify")
    (line,) = mlforge("audit", "verify", "--head", head, status=1).stderr.splitlines()
    assert f"the hash {head} is in no entry" in line
    assert (
        "64 hexadecimal" in mlforge("audit", "verify", "--head", "x", status=1).stderr
    )
