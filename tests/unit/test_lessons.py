"""Which network does a training end with? The better one where that can be said, else the newest."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from tacit.learning.lessons import Learning, LessonTrainer
from tests.unit.line_lessons import SCHEDULE, Fit, Line, trainer

SEED = int(np.random.default_rng().integers(1 << 30))


class Uncompared(Fit):
    """The same task, were its errors no grounds for a comparison."""

    def compared(self, fit):
        del fit


def after_one_round(teacher: LessonTrainer) -> tuple[Line, Learning]:
    state = teacher.init(jax.random.key(SEED))
    return state.network, teacher.advance(state)[0]


def same(one: Line, other: Line) -> bool:
    return bool(jnp.array_equal(one.weight, other.weight))


def test_what_the_last_updates_led_to_is_tried_as_well():
    teacher = trainer(dataclasses.replace(SCHEDULE, num_rounds=1), SEED)
    start, state = after_one_round(teacher)
    assert same(state.best, start)
    released, _ = teacher.release(state)
    assert same(released, state.network)
    assert not same(released, start)


def test_what_got_worse_is_not_kept_unless_that_cannot_be_said():
    teacher = trainer(dataclasses.replace(SCHEDULE, num_rounds=1, learning_rate=30.0, warm_up=0), SEED)
    start, state = after_one_round(teacher)
    assert same(teacher.release(state)[0], start)
    uncompared = dataclasses.replace(teacher, task=Uncompared(teacher.task.truth))
    assert same(uncompared.release(state)[0], state.network)
    again, _ = uncompared.advance(state)
    assert same(again.best, state.network)
    assert int(again.waited) == int(state.waited)
