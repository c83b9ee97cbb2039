"""A test run says what it ran against, and never passes by skipping."""

import pytest

from tests.servers import Servers

# Tests that may skip, by the beginning of their id, each with the reason.
ALLOWED_SKIPS: dict[str, str] = {}


def is_full_run(config: pytest.Config) -> bool:
    """Whether the whole suite was asked for, rather than a part of it."""
    chosen = ("keyword", "markexpr", "deselect", "lf", "collectonly", "maxfail")
    return config.args_source is not pytest.Config.ArgsSource.ARGS and not any(
        config.getoption(option, None) for option in chosen
    )


def faults(config: pytest.Config, servers: Servers) -> list[str]:
    """Why this run must not count as passed."""
    found = [f"skipped: {test}" for test in forbidden_skips(config)]
    if is_full_run(config):
        found += [f"no test used {name}" for name in servers.unused()]
    return found


def forbidden_skips(config: pytest.Config) -> list[str]:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    reports = terminal.stats.get("skipped", []) if terminal else []
    return [
        report.nodeid
        for report in reports
        if not report.nodeid.startswith(tuple(ALLOWED_SKIPS))
    ]
