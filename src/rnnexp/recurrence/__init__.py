"""Run any cell over time: unrolling, feeding, stacking."""

from rnnexp.recurrence.backends import BACKENDS, BackendName
from rnnexp.recurrence.feed import Feed, FeedMode, Schedule, ScheduleKind
from rnnexp.recurrence.head import Head, make_head
from rnnexp.recurrence.network import Readout, RecurrentNetwork
from rnnexp.recurrence.state import NetworkState
from rnnexp.recurrence.trace import FullTrace, InputTrace, Series, Shown, Trace, wide_norm
from rnnexp.recurrence.unroll import Unrolled, choose_backend, unroll

__all__ = [
    "BACKENDS",
    "BackendName",
    "Feed",
    "FeedMode",
    "FullTrace",
    "Head",
    "InputTrace",
    "NetworkState",
    "Readout",
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
