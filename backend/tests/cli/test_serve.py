"""What each of several server processes works with."""

import pytest

from app.cli.serve import share_of
from app.kit.cpus import available_cpus
from tests.conftest import MakeSettings


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_the_cpus_are_shared_out(make_settings: MakeSettings, workers: int) -> None:
    share = share_of(make_settings(workers=workers)).inference_threads
    assert share == max(1, available_cpus() // workers)


def test_a_number_of_threads_that_was_set_is_of_each_process(
    make_settings: MakeSettings,
) -> None:
    assert (
        share_of(make_settings(workers=4, inference_threads=3)).inference_threads == 3
    )
