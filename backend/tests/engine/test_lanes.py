"""Whose run is next, with no threads, no models and no time: a started run is a noted
one, and all have had equally much. `test_fairness.py` has time pass."""

from app.engine.lanes import Lanes, Ticket


class Office:
    """Enters runs by the name of their model, and notes the order of their starts."""

    def __init__(self, *, threads: int = 2) -> None:
        self.lanes = Lanes(threads=threads, clock=lambda: 0.0)
        self.started: list[str] = []

    def enter(self, *models: str, background: bool = False) -> list[Ticket]:
        return [
            self.lanes.enter(model, self._note, background=background)
            for model in models
        ]

    def _note(self, ticket: Ticket) -> None:
        self.started.append(str(ticket.lane.key[0]))

    def is_clogged(self) -> bool:
        return self.lanes.is_clogged

    def end(self, *tickets: Ticket) -> None:
        for ticket in tickets:
            self.lanes.leave(ticket)

    def give_up(self, *tickets: Ticket) -> None:
        for ticket in tickets:
            self.lanes.give_up(ticket)


def test_as_many_runs_go_on_as_there_are_threads() -> None:
    office = Office(threads=2)
    first, *_ = office.enter("a", "a", "a", "a")
    assert office.started == ["a", "a"]
    office.end(first)
    assert office.started == ["a", "a", "a"]


def test_one_model_that_has_every_thread_stops_no_other() -> None:
    office = Office(threads=2)
    office.enter("a", "a", "a", "b", "b", "c")
    assert office.started == ["a", "a", "b"]


def test_a_free_thread_goes_to_the_model_with_the_fewest_runs() -> None:
    office = Office(threads=3)
    tickets = office.enter("a", "a", "a", "a", "a", "b", "b", "c")
    assert office.started == ["a", "a", "a", "b"]
    office.end(tickets[0])
    assert office.started[4:] == ["c"]
    office.end(tickets[1], tickets[5])
    assert office.started[5:] == ["b"]


def test_models_with_equally_many_runs_take_turns() -> None:
    office = Office(threads=1)
    x, y = office.enter("x", "y")
    a, b, *_ = office.enter("a", "b", "a", "b")
    assert office.started == ["x", "y"]
    office.end(x, y, a, b)
    assert office.started[2:] == ["a", "b", "a", "b"]


def test_runs_for_jobs_leave_a_thread_to_the_others() -> None:
    office = Office(threads=3)
    office.enter("job", "job", "job", "other job", background=True)
    assert office.started == ["job", "job"]
    office.enter("job")
    assert office.started == ["job", "job", "job"]


def test_runs_for_jobs_go_on_where_there_is_one_thread() -> None:
    office = Office(threads=1)
    (running, _) = office.enter("job", "job", background=True)
    assert office.started == ["job"]
    office.enter("online")
    assert office.started == ["job", "online"]
    office.end(running)
    assert office.started == ["job", "online"]


def test_a_run_given_up_makes_room_for_the_next() -> None:
    office = Office(threads=1)
    stuck, _ = office.enter("a", "a")
    assert office.started == ["a"]
    office.give_up(stuck)
    assert office.started == ["a", "a"]


def test_a_waiting_run_given_up_never_starts() -> None:
    office = Office(threads=1)
    running, waiting = office.enter("a", "a")
    office.give_up(waiting)
    office.end(running)
    assert office.started == ["a"]


def test_a_model_whose_runs_cannot_be_stopped_leaves_threads_to_others() -> None:
    office = Office(threads=2)
    stuck = office.enter(*["stuck"] * 8)
    office.give_up(*stuck[:4])
    assert office.started == ["stuck"] * 4
    office.enter("b", "b")
    assert office.started == ["stuck"] * 4 + ["b", "b"]
    office.end(stuck[0])
    assert office.started == ["stuck"] * 4 + ["b", "b", "stuck"]


def test_runs_that_cannot_be_stopped_clog_the_threads_in_the_end() -> None:
    office = Office(threads=1)
    tickets = [ticket for name in "abc" for ticket in office.enter(name)]
    office.give_up(*tickets[:2])
    assert not office.is_clogged()
    office.give_up(tickets[2])
    assert office.is_clogged()
    assert office.lanes.given_up == 3
    office.end(tickets[0])
    assert not office.is_clogged()
    office.enter("d")
    assert office.started == ["a", "b", "c", "d"]


def test_a_run_starts_at_once_while_there_is_a_thread_for_its_model() -> None:
    office = Office(threads=1)
    assert office.lanes.starts_at_once("a", background=False)
    office.enter("a")
    assert not office.lanes.starts_at_once("a", background=False)
    assert office.lanes.starts_at_once("b", background=False)
    assert not office.lanes.starts_at_once("b", background=True)


def test_nothing_starts_once_closed() -> None:
    office = Office(threads=1)
    running, _ = office.enter("a", "a")
    office.lanes.close()
    office.end(running)
    assert office.started == ["a"]


def test_giving_up_a_run_that_has_ended_changes_nothing() -> None:
    office = Office(threads=1)
    (ticket,) = office.enter("a")
    office.end(ticket)
    office.give_up(ticket)
    office.enter("a", "a")
    assert office.started == ["a", "a"]


def test_a_waiting_run_that_joins_another_never_starts() -> None:
    office = Office(threads=1)
    running, waiting = office.enter("a", "a")
    office.lanes.join(waiting, running)
    (last,) = office.enter("a")
    office.end(running)
    assert office.started == ["a", "a"]
    office.end(last)
    assert office.started == ["a", "a"]


def test_a_late_look_back_at_an_ended_run_loses_no_run_that_waits() -> None:
    office = Office(threads=1)
    (ended,) = office.enter("a")
    office.end(ended)
    others = office.enter("b", "c")
    office.enter("a")
    assert office.started == ["a", "b", "c"]
    office.give_up(ended)
    office.end(*others)
    assert office.started == ["a", "b", "c", "a"]
