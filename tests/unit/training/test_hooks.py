"""Lightning enters no hook of a step that a callback leaves empty, and every other."""

from pathlib import Path

import pytest
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import LambdaCallback
from torch.optim import SGD

from rnnexp.recurrence import RecurrentNetwork
from rnnexp.tasks.datamodule import TaskData
from rnnexp.training.hooks import AT_EVERY_STEP, NoProfiler, drop_empty_hooks
from rnnexp.training.module import Recipe, RecurrentModule

from ...quiet import QUIET


def noting(hook: str) -> tuple[Callback, list[str]]:
    seen: list[str] = []

    def note(self, trainer, module, *rest, **named) -> None:
        seen.append(hook)

    return type("Noting", (Callback,), {hook: note})(), seen


def train(
    plugins,
    folder: Path,
    callbacks: list[Callback],
    kind: type[RecurrentModule] = RecurrentModule,
) -> RecurrentModule:
    task = plugins.get("task", "adding").cls(length=5, batch_size=4)
    make_cell = plugins.get("cell", "elman").cls
    network = RecurrentNetwork(lambda size: make_cell(size, hidden_size=3), 2, 1, readout="last")
    trainer = Trainer(
        max_steps=3,
        callbacks=callbacks,
        logger=False,
        limit_val_batches=0,
        **QUIET,
        default_root_dir=folder,
        profiler=NoProfiler(),
    )
    module = kind(network, task, Recipe(lambda p: SGD(p, 0.1)))
    drop_empty_hooks([*trainer.callbacks, module])
    trainer.fit(module, TaskData(task, "last"))
    return module


@pytest.mark.parametrize("hook", AT_EVERY_STEP)
def test_a_hook_that_does_something_is_entered_at_every_step(plugins, tmp_path, hook: str) -> None:
    callback, seen = noting(hook)
    train(plugins, tmp_path, [callback])
    assert seen == [hook] * 3


def test_a_hook_that_does_nothing_is_not_entered(plugins, tmp_path) -> None:
    callback, _ = noting("on_train_batch_end")
    train(plugins, tmp_path, [callback])
    dropped = [hook for hook in AT_EVERY_STEP if getattr(callback, hook) is None]
    assert dropped == [hook for hook in AT_EVERY_STEP if hook != "on_train_batch_end"]


@pytest.mark.parametrize("hook", AT_EVERY_STEP)
def test_a_hook_of_the_module_is_entered_where_it_does_something(
    plugins, tmp_path, hook: str
) -> None:
    seen: list[str] = []
    kind = type("Noting", (RecurrentModule,), {hook: lambda self, *rest: seen.append(hook)})
    module = train(plugins, tmp_path, [], kind)
    assert seen == [hook] * 3
    assert [name for name in AT_EVERY_STEP if getattr(module, name) is not None] == [hook]


def test_the_name_of_the_hook_is_kept_though_by_a_shorter_way(plugins, tmp_path) -> None:
    seen: list[str | None] = []
    names = {"on_train_batch_end": lambda self, *rest: seen.append(self._current_fx_name)}
    module = train(plugins, tmp_path, [], type("Noting", (RecurrentModule,), names))
    assert seen == ["on_train_batch_end"] * 3
    assert module._current_fx_name is None


def test_a_hook_that_is_set_on_the_object_stays(plugins, tmp_path) -> None:
    seen: list[int] = []
    callback = LambdaCallback(on_train_batch_end=lambda *given: seen.append(given[-1]))
    train(plugins, tmp_path, [callback])
    assert seen == [0, 1, 2]


def test_hooks_of_other_moments_stay(plugins, tmp_path) -> None:
    callback, seen = noting("on_train_end")
    train(plugins, tmp_path, [callback])
    assert seen == ["on_train_end"]
    callback.on_fit_start(None, None)


def test_the_context_that_does_nothing_may_stand_within_itself() -> None:
    profiler = NoProfiler()
    with profiler.profile("outer"), profiler.profile("inner"), pytest.raises(ValueError, match="x"):
        raise ValueError("x")
