"""Run any cell over time: unrolling, feeding, stacking."""

from rnnexp.recurrence.backends import BACKENDS
from rnnexp.recurrence.feed import Feed, FeedMode, Schedule, ScheduleKind
from rnnexp.recurrence.head import make_head
from rnnexp.recurrence.network import RecurrentNetwork
from rnnexp.recurrence.state import NetworkState
from rnnexp.recurrence.trace import FullTrace, InputTrace, Series, Shown, Trace, wide_norm
from rnnexp.recurrence.unroll import Unrolled, choose_backend, unroll

__all__ = [
    "BACKENDS",
    "Feed",
    "FeedMode",
    "FullTrace",
    "InputTrace",
    "NetworkState",
    "RecurrentNetwork",
    "Schedule",
    "ScheduleKind",
    "Series",
    "Shown",
    "Trace",
    "Unrolled",
    "choose_backend",
    "make_head",
    "unroll",
    "wide_norm",
]
