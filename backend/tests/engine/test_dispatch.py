import numpy as np

from app.engine.dispatch import RunCosts, size_bucket


def test_a_size_never_run_is_not_cheap() -> None:
    costs = RunCosts()
    costs.record(3, 5e-6)
    assert costs.is_cheap(3)
    assert not costs.is_cheap(4)


def test_a_costly_size_is_not_cheap() -> None:
    costs = RunCosts()
    costs.record(3, 0.01)
    assert not costs.is_cheap(3)


def test_one_interrupted_run_does_not_make_a_size_costly() -> None:
    costs = RunCosts()
    costs.record(3, 5e-6)
    costs.record(3, 1.0)
    assert costs.is_cheap(3)


def test_a_size_that_turns_slow_becomes_costly_and_can_come_back() -> None:
    costs = RunCosts()
    costs.record(3, 5e-6)
    for _ in range(3):
        costs.record(3, 0.01)
    assert not costs.is_cheap(3)
    for _ in range(10):
        costs.record(3, 5e-6)
    assert costs.is_cheap(3)


def test_one_run_that_seems_long_on_the_loop_was_interrupted() -> None:
    costs = RunCosts()
    costs.record(3, 5e-6)
    for _ in range(5):
        costs.record_inline(3, 1.0, 0)
        assert costs.is_cheap(3)
        costs.record_inline(3, 5e-6, 0)
    assert costs.is_cheap(3)


def test_two_in_a_row_were_not() -> None:
    costs = RunCosts()
    costs.record(3, 5e-6)
    costs.record_inline(3, 0.001, 0)
    costs.record_inline(3, 0.001, 0)
    assert not costs.is_cheap(3)
    for _ in range(5):
        costs.record(3, 5e-6)
    assert costs.is_cheap(3)


def test_a_large_output_is_part_of_the_cost() -> None:
    costs = RunCosts()
    costs.record(3, 5e-6, 1_000_000)
    assert not costs.is_cheap(3)


def test_a_model_once_distrusted_is_never_cheap() -> None:
    costs = RunCosts()
    costs.record(3, 5e-6)
    costs.distrust()
    costs.record(3, 5e-6)
    assert not costs.is_cheap(3)


def bucket(**shapes: tuple[int, ...]) -> int:
    return size_bucket({name: np.zeros(of, np.uint8) for name, of in shapes.items()})


def test_inputs_of_other_shapes_are_another_size() -> None:
    assert bucket(x=(2, 3)) == bucket(x=(2, 3))
    shapes = [(6,), (6, 1), (1, 6), (2, 3), (3, 2), (0, 6), (6, 0), ()]
    assert len({bucket(x=shape) for shape in shapes}) == len(shapes)
    assert bucket(a=(1,), b=(2, 3)) != bucket(a=(1, 2), b=(3,))


def test_the_order_of_inputs_does_not_matter() -> None:
    assert bucket(a=(1,), b=(2,)) == bucket(b=(2,), a=(1,))
    assert bucket(a=(1,), b=(2,)) != bucket(b=(1,), a=(2,))


def test_strings_are_also_told_apart_by_their_length() -> None:
    def of(text: str) -> int:
        return size_bucket({"x": np.array([text], dtype=object)})

    assert of("a" * 64) == of("a" * 127)
    assert of("a" * 128) != of("a" * 127)


def test_a_model_that_sees_ever_new_shapes_forgets_old_ones() -> None:
    costs = RunCosts()
    for each in range(5000):
        costs.record(each, 5e-6)
    assert costs.is_cheap(4999)
    assert not costs.is_cheap(0)
