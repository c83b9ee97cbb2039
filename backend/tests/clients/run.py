"""Runs the checks of one client and prints what came of each, as JSON.

In the clients' own environment, a process for each client: their messages clash.

    python run.py CLIENT HTTP_ADDRESS GRPC_ADDRESS MODEL_FILE
"""

import asyncio
import importlib
import inspect
import json
import sys
import traceback

CHECK = "check_"


def main() -> None:
    client, http, grpc, model_file = sys.argv[1:]
    del sys.argv[1:]  # One of the clients parses them when it is imported.
    module, _, kind = client.partition(":")
    checks = importlib.import_module(module)
    api = checks.open_client(kind, http, grpc, model_file)
    outcome = asyncio.run(run(api, vars(checks)))
    json.dump(outcome, sys.stdout)


async def run(opening, names):
    outcome = {}
    async with opening as api:
        for name, check in names.items():
            if not name.startswith(CHECK):
                continue
            if not set(inspect.signature(check).parameters) <= {"api"}:
                raise TypeError(f"{name} takes the api and nothing else")
            try:
                await check(api)
            except Exception:
                outcome[name] = traceback.format_exc()
            else:
                outcome[name] = "ok"
    return outcome


if __name__ == "__main__":
    main()
