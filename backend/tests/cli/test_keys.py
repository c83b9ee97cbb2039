"""`mlforge keys`: whoever has the database always gets in, a server or not."""

import json
from typing import Any

import httpx

from tests.cli.conftest import Run
from tests.conftest import StartServer
from tests.processes import wait_until


def test_keys_are_made_listed_rotated_and_revoked_without_a_server(
    mlforge: Run, keys: Run
) -> None:
    for words in (("list",), ("create", "ops", "--scopes", "admin")):
        assert "no database in DATA_DIR=" in keys(*words, status=1).stderr
    mlforge("migrate")
    assert keys("list").stdout == "No keys.\n"
    made = keys("create", "ops", "--scopes", "read,predict", "--model-pattern", "w*")
    token = made.stdout.strip()
    key_id = token[4:16]
    assert token.startswith("mlf_")
    assert token not in made.stderr
    listed = keys("list").stdout
    assert f"{key_id}  active  predict,read  w*  never used  ops" in listed
    assert token[17:] not in listed
    rotated = json.loads(keys("rotate", key_id, "--json").stdout)
    assert rotated["key"].startswith(f"mlf_{rotated['id']}_")
    keys("revoke", key_id)
    found = {one["id"]: one for one in json.loads(keys("list", "--json").stdout)}
    assert found[key_id]["status"] == "revoked"
    assert found[key_id]["successor"] == rotated["id"]
    assert found[rotated["id"]]["scopes"] == ["predict", "read"]


def test_what_can_not_be_is_one_line(mlforge: Run, keys: Run) -> None:
    mlforge("migrate")
    for words, told in (
        (("create", "x", "--scopes", "root"), '"root"'),
        (("create", "x", "--scopes", "read", "--model-pattern", "["), "model_pattern"),
    ):
        (line,) = keys(*words, status=1).stderr.strip().splitlines()
        assert told in line


def test_a_running_server_takes_and_refuses_keys_of_the_command_line(
    keys: Run, start_server: StartServer
) -> None:
    server = start_server(auth="on")
    made: dict[str, Any] = json.loads(
        keys("create", "ops", "--scopes", "admin", "--json").stdout
    )
    url, headers = f"{server.url}/api/v1/keys", {"X-API-Key": made["key"]}
    assert httpx.get(url, headers=headers).status_code == 200
    keys("revoke", made["id"])
    wait_until(
        lambda: httpx.get(url, headers=headers).status_code == 401,
        "the refusal of the revoked key",
        timeout_s=5,
    )
