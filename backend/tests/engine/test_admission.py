"""Who may wait, with no threads and no models: what runs take is told beforehand."""

import pytest

from app.engine.admission import MIB, Admission, Demand, QueueLimits, Reason
from app.engine.lanes import Lanes, Ticket
from app.errors import Overloaded


class Door:
    """One thread, and a clock that is moved by hand."""

    def __init__(self, *, count: int = 8, size_bytes: int = 100 * MIB) -> None:
        self.now = 0.0
        self.reasons: list[Reason] = []
        self.lanes = Lanes(threads=1, clock=lambda: self.now)
        self.admission = Admission(
            self.lanes,
            QueueLimits(count=count, size_bytes=size_bytes),
            on_refused=self.reasons.append,
        )

    def measure(self, model: str, run_s: float, *, runs: int = 3) -> Ticket:
        """So many runs end; one more, which is given, has the thread then."""
        running = self.lanes.enter(model, lambda _: None, background=False)
        for _ in range(runs):
            after = self.lanes.enter(model, lambda _: None, background=False)
            self.now += run_s
            self.lanes.leave(running)
            running = after
        return running

    def queue(self, model: str, count: int) -> None:
        for _ in range(count):
            self.lanes.enter(model, lambda _: None, background=False)

    def refused(self, model: str, demand: Demand) -> Overloaded:
        with pytest.raises(Overloaded) as caught:
            self.admission.enter(model, demand)
        return caught.value


def test_one_model_may_fill_three_quarters_of_the_places() -> None:
    door = Door(count=8)
    for _ in range(6):
        door.admission.enter("a", Demand())
    assert "6 predictions of this model are waiting, and its limit is 6" in str(
        door.refused("a", Demand())
    )
    for _ in range(2):
        door.admission.enter("b", Demand())
    assert "the server's limit is 8" in str(door.refused("b", Demand()))
    assert door.reasons == ["model_queue", "server_queue"]


def test_a_models_own_limit_may_be_larger_than_its_share() -> None:
    door = Door(count=8)
    for _ in range(8):
        door.admission.enter("a", Demand(queue_limit=10))
    door.refused("a", Demand(queue_limit=10))
    assert door.reasons == ["server_queue"]


def test_jobs_and_those_who_wait_are_counted_apart() -> None:
    door = Door(count=4)
    for _ in range(3):
        door.admission.enter("a", Demand(), background=True)
    door.admission.enter("a", Demand())


def test_bytes_are_bounded_too() -> None:
    door = Door(size_bytes=10 * MIB)
    first = door.admission.enter("a", Demand(6 * MIB))
    error = door.refused("b", Demand(5 * MIB))
    assert "1 prediction is waiting with 6.0 MiB of inputs" in str(error)
    assert "the server's limit is 10.0 MiB" in str(error)
    assert door.reasons == ["queue_bytes"]
    first.leave()
    door.admission.enter("b", Demand(5 * MIB))


def test_one_input_larger_than_the_limit_may_wait_alone() -> None:
    door = Door(size_bytes=10 * MIB)
    with door.admission.enter("a", Demand(50 * MIB)):
        door.refused("a", Demand(1))
    assert (door.admission.count, door.admission.size_bytes) == (0, 0)


def test_a_place_is_left_once_however_often_it_is_said() -> None:
    door = Door()
    place = door.admission.enter("a", Demand(5))
    other = door.admission.enter("a", Demand(7))
    place.leave()
    place.leave()
    assert (door.admission.count, door.admission.size_bytes) == (1, 7)
    other.leave()


@pytest.mark.parametrize(
    ("run_s", "waiting", "after_s"),
    [(0.001, 3, 1), (2.0, 5, 10), (2.0, 100, 30)],
    ids=["at least a second", "as long as the work takes", "at most half a minute"],
)
def test_the_time_to_come_back_is_what_the_waiting_runs_will_take(
    run_s: float, waiting: int, after_s: int
) -> None:
    door = Door(count=1)
    door.measure("a", run_s)
    door.queue("a", waiting)
    door.admission.enter("a", Demand(queue_limit=1))
    error = door.refused("a", Demand(queue_limit=1))
    assert error.headers == {"Retry-After": str(after_s)}
    assert str(error).endswith(f"try again in {after_s} s")


def test_callers_who_share_runs_are_served_the_sooner() -> None:
    door = Door(count=1)
    running = door.measure("a", 1.0)
    for _ in range(20):
        first, second = (
            door.lanes.enter("a", lambda _: None, background=False) for _ in "ab"
        )
        door.now += 1.0
        door.lanes.leave(running)
        door.lanes.join(second, first)
        running = first
    door.queue("a", 20)
    assert door.lanes.work_s("a") == pytest.approx(10, rel=0.01)


def test_whoever_cannot_be_served_in_time_is_told_at_once() -> None:
    door = Door()
    door.measure("a", 2.0)
    door.queue("a", 4)
    error = door.refused("a", Demand(time_left_s=5.0))
    assert "takes 8.0 s or more, and this one has 5.0 s left" in str(error)
    assert door.reasons == ["deadline"]
    door.admission.enter("a", Demand(time_left_s=9.0))
    door.admission.enter("b", Demand(time_left_s=1.0))


def test_nobody_is_turned_away_for_runs_that_were_hardly_measured() -> None:
    door = Door()
    door.measure("a", 2.0, runs=2)
    door.queue("a", 4)
    door.admission.enter("a", Demand(time_left_s=0.1))


def test_runs_that_were_stopped_tell_nothing_about_what_runs_take() -> None:
    door = Door()
    stopped = door.measure("a", 2.0)
    door.queue("a", 5)
    door.now += 100
    door.lanes.give_up(stopped)
    door.lanes.leave(stopped)
    assert door.lanes.work_s("a") == 8.0


def test_runs_that_cannot_be_stopped_close_the_door_in_the_end() -> None:
    door = Door()
    for model in "abc":
        ticket = door.lanes.enter(model, lambda _: None, background=False)
        door.lanes.give_up(ticket)
    assert "3 runs went past their time limit" in str(door.refused("d", Demand()))
    assert door.reasons == ["stuck_runs"]
