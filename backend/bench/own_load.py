"""Load by `mlforge bench`'s own generator, for what wrk has no word for."""

from app.cli.bench.load import Limits
from app.cli.bench.requests import Place, Protocol, make_requests
from app.cli.bench.results import Result
from app.cli.bench.run import Door, Plan, measure
from app.cli.bench.target import describe, parse_url
from app.cli.bench.tensors import Sizes, make_inputs

TEMPLATES = 16
TIMEOUT_S = 30


def measured(
    url: str,
    name: str,
    *,
    seconds: float,
    concurrency: tuple[int, ...],
    shares: tuple[float, ...] = (),
    seed: int = 0,
) -> list[Result]:
    """OIP JSON: the closed loops, then open ones at these shares of the peak. Another
    `seed` gives other inputs."""
    address = parse_url(url)
    model = describe(address, name, ())
    made = [
        make_inputs(model.inputs, Sizes(1, 1), text=None, seed=seed * TEMPLATES + at)
        for at in range(TEMPLATES)
    ]
    place = Place(address.authority, "", name)
    requests = make_requests(Protocol.V2_JSON, place, made, cached=False)
    plan = Plan(concurrency, Limits(seconds, TIMEOUT_S), 1, 0.0, shares)
    results = list(measure(Door(Protocol.V2_JSON, address, ()), requests, plan))
    failed = sum(result.errors for result in results)
    if failed:
        raise RuntimeError(f"{failed} requests to {name} failed")
    return results
