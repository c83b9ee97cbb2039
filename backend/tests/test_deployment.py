"""The compose file, the image and CI agree with the settings and the commands."""

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from app.cli.main import app as cli
from app.config import Settings

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "backend"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("api", "worker", "migrate")
SETTINGS = {name.upper() for name in Settings.model_fields}
COMMANDS = set(typer.main.get_group(cli).commands)
DOCKERFILE = (BACKEND / "Dockerfile").read_text()
WORKFLOWS = ROOT / ".github" / "workflows"
WORKFLOW: dict[Any, Any] = yaml.safe_load((WORKFLOWS / "ci.yml").read_text())
AUDIT: dict[Any, Any] = yaml.safe_load((WORKFLOWS / "audit.yml").read_text())
UNITS = {"mlforge.service": "serve", "mlforge-worker.service": "worker"}
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def interpolated(value: str) -> str:
    """The value with every variable at its default."""
    return VARIABLE.sub(lambda match: match[2] or "", value)


def dockerfile_steps(instruction: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{instruction} +(.+)$", joined, re.MULTILINE)


def test_the_stack_is_whole() -> None:
    assert set(SERVICES) == {*OURS, "postgres", "redis"}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_a_service_is_a_setting(name: str) -> None:
    assert set(SERVICES[name]["environment"]) <= SETTINGS


@pytest.mark.parametrize("name", OURS)
def test_every_service_runs_a_command_of_the_cli(name: str) -> None:
    assert SERVICES[name]["command"][0] in COMMANDS


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_a_service_are_usable(name: str) -> None:
    values: dict[str, Any] = {
        key.lower(): interpolated(value)
        for key, value in SERVICES[name]["environment"].items()
    }
    settings = Settings(_env_file=None, **values)
    assert settings.host == "0.0.0.0"
    assert f":{settings.port}" in SERVICES["api"]["ports"][0]


@pytest.mark.parametrize("name", OURS)
def test_the_servers_of_the_settings_are_services_of_the_stack(name: str) -> None:
    environment = SERVICES[name]["environment"]
    database = interpolated(environment["DATABASE_URL"])
    postgres = SERVICES["postgres"]["environment"]
    user, password = (
        postgres["POSTGRES_USER"],
        interpolated(postgres["POSTGRES_PASSWORD"]),
    )
    place = f"{user}:{password}@postgres:5432/{postgres['POSTGRES_DB']}"
    assert database == f"postgresql+asyncpg://{place}"
    assert environment["REDIS_URL"].startswith("redis://redis:6379/")


def test_api_and_worker_share_the_model_files() -> None:
    for name in ("api", "worker"):
        assert SERVICES[name]["volumes"] == ["models:/data"]
        assert SERVICES[name]["environment"]["DATA_DIR"] == "/data"
    used = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    }
    assert used == set(COMPOSE["volumes"])


def test_whatever_listens_has_a_health_check() -> None:
    for name in ("api", "postgres", "redis"):
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert "/api/v1/ready" in SERVICES["api"]["healthcheck"]["test"][-1]


def test_the_worker_is_checked_by_a_command_of_the_cli() -> None:
    kind, program, command = SERVICES["worker"]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "mlforge")
    assert command in COMMANDS
    # The sign of life lies in the temporary folder, which must be writable.
    assert "/tmp" in SERVICES["worker"]["tmpfs"]


def test_api_and_worker_start_after_the_migration_and_healthy_servers() -> None:
    for name in ("api", "worker"):
        conditions = {
            service: wait["condition"]
            for service, wait in SERVICES[name]["depends_on"].items()
        }
        assert conditions == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "redis": "service_healthy",
        }
    assert SERVICES["migrate"]["restart"] == "no"


def test_the_stack_is_reached_from_this_machine_alone() -> None:
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_the_stack_holds_no_secret_that_production_would_take() -> None:
    secret = SERVICES["api"]["environment"]["SECRET_KEY"]
    with pytest.raises(ValueError, match="SECRET_KEY"):
        Settings(
            _env_file=None,
            environment="production",
            secret_key=interpolated(secret),
        )


def test_every_variable_to_fill_in_is_told_of_in_the_example() -> None:
    told = (ROOT / ".env.example").read_text()
    text = (ROOT / "docker-compose.yml").read_text()
    for name in {match[0] for match in VARIABLE.findall(text)}:
        assert re.search(rf"^{name}=", told, re.MULTILINE), name


def test_the_image_does_not_run_as_root() -> None:
    assert dockerfile_steps("USER") == ["10001:10001"]


def test_the_image_is_built_in_stages_from_the_lock() -> None:
    assert len(dockerfile_steps("FROM")) == 2
    steps = "\n".join(dockerfile_steps("RUN"))
    assert "--require-hashes --no-deps --requirement requirements.lock" in steps
    assert "--no-deps --no-build-isolation ." in steps


def test_what_the_image_copies_exists_and_reaches_the_builder() -> None:
    let_through = (BACKEND / ".dockerignore").read_text().splitlines()
    for step in dockerfile_steps("COPY"):
        if step.startswith("--from"):
            continue
        source = step.split()[0]
        assert (BACKEND / source).exists(), source
        assert f"!{source}" in let_through, source


def test_the_image_sets_settings_and_turns_telemetry_off() -> None:
    names = set(re.findall(r"\b([A-Z_]+)=", " ".join(dockerfile_steps("ENV"))))
    tools = {"PATH", "PYTHONUNBUFFERED", "PIP_NO_CACHE_DIR"}
    tools |= {"PIP_DISABLE_PIP_VERSION_CHECK", "ORT_DISABLE_TELEMETRY"}
    assert names - tools <= SETTINGS
    assert "ORT_DISABLE_TELEMETRY=1" in DOCKERFILE


def test_the_image_serves_unless_told_otherwise() -> None:
    assert dockerfile_steps("ENTRYPOINT") == ['["mlforge"]']
    assert dockerfile_steps("CMD")[-1] == '["serve"]'
    assert "/api/v1/ready" in dockerfile_steps("HEALTHCHECK")[0]


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


def test_the_workflow_runs_make_targets_and_nothing_else() -> None:
    # YAML reads the key `on` as true.
    assert set(WORKFLOW[True]) == {"push", "pull_request"}
    assert commands_of(WORKFLOW) == {"lint": ["make lint"], "test": ["make test"]}
    assert {"lint", "test"} <= make_targets()


def commands_of(workflow: dict[Any, Any]) -> dict[str, list[str]]:
    return {
        name: [step["run"] for step in job["steps"] if "run" in step]
        for name, job in workflow["jobs"].items()
    }


def test_what_we_depend_on_is_audited_every_day() -> None:
    assert set(AUDIT[True]) == {"schedule", "workflow_dispatch"}
    assert commands_of(AUDIT) == {"audit": ["make sbom", "make audit"]}
    assert {"sbom", "audit"} <= make_targets()


def unit_of(name: str) -> list[tuple[str, str]]:
    """The lines of a systemd unit; a key may come more than once."""
    lines = (ROOT / "deploy" / name).read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if line[:1].isalpha()]
    return [(key, value) for key, value in pairs]


@pytest.mark.parametrize(("name", "command"), UNITS.items())
def test_a_unit_runs_a_command_of_the_cli_with_settings(
    name: str, command: str
) -> None:
    unit = dict(unit_of(name))
    assert unit["ExecStart"] == f"/opt/mlforge/bin/mlforge {command}"
    assert command in COMMANDS
    given = dict(pair.split("=") for pair in unit["Environment"].split())
    assert given.pop("ORT_DISABLE_TELEMETRY") == "1"
    assert set(given) <= SETTINGS
    assert given["DATA_DIR"] == f"/var/lib/{unit['StateDirectory']}"
    grace_s = Settings(_env_file=None).shutdown_grace_s
    assert int(unit["TimeoutStopSec"]) > grace_s


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_grants_nothing_but_its_folder(name: str) -> None:
    unit = dict(unit_of(name))
    assert unit["User"] != "root"
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == ""
    assert unit["ProtectSystem"] == "strict"
    assert unit["NoNewPrivileges"] == unit["RestrictNamespaces"] == "yes"
    # What confines the children that look at uploads must be let through.
    assert "landlock_restrict_self" in unit["SystemCallFilter"]


def test_the_workflow_uploads_the_coverage_that_the_tests_write() -> None:
    steps = WORKFLOW["jobs"]["test"]["steps"]
    assert steps[-1]["with"]["path"] == "backend/coverage.xml"
    assert "--cov-report=xml" in (ROOT / "Makefile").read_text()


def test_ci_can_be_run_and_stays_inside_the_clone() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    assert os.access(script, os.X_OK)
    commands = [
        line
        for line in script.read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert commands == [
        "set -euo pipefail",
        'cd "$(dirname "${BASH_SOURCE[0]}")/.."',
        "make lint",
        "make test",
    ]
