"""From a checked config to objects."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from rnnexp.app.config.memory import check_cell, check_layers
from rnnexp.app.config.pretrained import begin_with, pretrained_by
from rnnexp.app.config.probe import Kinds, kinds_of, made, try_cell, try_step, try_task
from rnnexp.app.config.schedule import steps_of_run
from rnnexp.app.config.targets import maker
from rnnexp.cells import Cell, PointwiseCell, has_own_step
from rnnexp.declared import fault_of_patterns
from rnnexp.errors import ConfigError, PluginError
from rnnexp.recurrence import RecurrentNetwork, Schedule, choose_backend, make_head
from rnnexp.registry import REGISTRY
from rnnexp.tasks import Pattern, Task
from rnnexp.tasks.datamodule import TaskData
from rnnexp.tasks.stream import Share
from rnnexp.training.module import Recipe, RecurrentModule
from rnnexp.training.optimizer import make_optimizer
from rnnexp.training.precision import precision_of
from rnnexp.training.ridge import Ridge, fit_readout
from rnnexp.training.team import ALONE, Place

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a config means once ``auto`` is resolved.

    Args:
        values: the config as plain dictionaries.
        task: the task, whose data is not loaded yet.
        pattern: where outputs are read and judged.
        feedback: whether y_{t-1} is part of the input of step t.
        trained: the kinds of parameters that are trained.
    """

    values: Values
    task: Task
    pattern: Pattern
    feedback: bool
    trained: Kinds = frozenset()

    @property
    def max_norm(self) -> float | None:
        """The largest norm of a gradient that is not clipped; None where norms are not."""
        clip = self.values["clip"]
        return clip["max_norm"] if clip["by"] == "norm" else None

    def most_steps(self, *, read: bool = False) -> int:
        """Count the optimizer steps after which the run is over; see `steps_of_run`."""
        return steps_of_run(self.values, self.task, self.pattern, read=read)


def make_plan(values: Values) -> Plan:
    """Resolve ``auto`` and refuse combinations that cannot work.

    Raises:
        ConfigError: readout, head, feedback, window or backend do not fit task and cell.
        PluginError: the task names patterns that there are not; the cell fails at its first step.
    """
    task = build_task(values)
    try_task(values["task"]["name"], task)
    plan = Plan(values, task, pattern_of(values, task), feedback_of(values, task))
    _check_window(plan)
    _check_feed(plan)
    _check_shares(plan)
    if values["model"]["bidirectional"]:
        _check_bidirectional(plan)
    below = task.input_size + (task.output_size if plan.feedback else 0)
    check_cell(values, lambda: build_cell(values, below))
    probe = build_cell(values, below)
    try_step(values["cell"]["name"], probe, below)
    check_layers(values, probe)
    if values["omega"]["flavour"] != "none":
        _check_omega(plan, probe)
    try_cell(values, probe)
    if values["model"]["readout_fit"] == "ridge":
        _check_ridge(values)
    width = probe.hidden_size * (2 if values["model"]["bidirectional"] else 1)
    head = make_head(values["model"]["head"], width, task.output_size)
    return replace(plan, trained=kinds_of(probe, head))


def build_task(values: Values) -> Task:
    """Make the task; its data is loaded when the first batch is asked for."""
    node = values["task"]
    return cast(Task, made("task", node["name"], values["seed"], options=_options(node)))


def build_cell(values: Values, input_size: int) -> Cell:
    """Make one cell."""
    node = values["cell"]
    return cast(Cell, made("cell", node["name"], input_size, options=_options(node)))


def build_network(plan: Plan) -> RecurrentNetwork:
    """Make the layers and the readout; draws the initial weights."""
    model, unroll = plan.values["model"], plan.values["unroll"]
    return RecurrentNetwork(
        lambda input_size: build_cell(plan.values, input_size),
        plan.task.input_size,
        plan.task.output_size,
        layers=model["layers"],
        dropout=model["dropout"],
        readout=plan.pattern,
        head=model["head"],
        feedback=plan.feedback,
        encode_output=plan.task.encode_output,
        bidirectional=model["bidirectional"],
        backend=unroll["backend"],
        checkpoint_every=unroll["checkpoint_every"],
        check_finite=unroll["check_finite"],
    )


def build_module(plan: Plan) -> RecurrentModule:
    """Make the LightningModule around the network."""
    values, unroll = plan.values, plan.values["unroll"]
    schedule = Schedule(
        unroll["teacher_schedule"],
        unroll["teacher_share"],
        unroll["teacher_floor"],
        unroll["teacher_steps"],
    )
    recipe = Recipe(
        partial(
            make_optimizer,
            maker(values["optimizer"], "optimizer"),
            mixed=values["trainer"]["precision"].endswith("-mixed"),
        ),
        maker(values["scheduler"], "scheduler"),
        unroll["feed"],
        schedule,
    )
    network, precision = build_network(plan), precision_of(values["trainer"]["precision"])
    module = RecurrentModule(network, plan.task, recipe, unroll["window"])
    # Now: Lightning converts after it has loaded a checkpoint, whose weights float32 would round.
    precision.convert_module(module)
    begin_with(network, pretrained_by(values))
    if values["model"]["readout_fit"] == "ridge":
        ridge = Ridge(values["model"]["ridge_strength"], values["model"]["ridge_batches"])
        fit_readout(network, plan.task, ridge, precision)
    return module


def build_data(plan: Plan, place: Place = ALONE) -> TaskData:
    """Make the data module over the plan's task, for the process of a place."""
    window, share = plan.values["unroll"]["window"], Share(place.rank, place.size)
    return TaskData(plan.task, plan.pattern, window, plan.task.test_tasks(), share)


def run_name(values: Values) -> str:
    """Name a run: ``adding-lstm-clip_norm-s0`` unless the config names it."""
    if values["tracking"]["name"]:
        return str(values["tracking"]["name"])
    parts = (values["task"]["name"], values["cell"]["name"], f"clip_{values['clip']['by']}")
    return "-".join((*parts, f"s{values['seed']}"))


def _options(node: Values) -> dict[str, Any]:
    return {str(key): value for key, value in node.items() if key != "name"}


def pattern_of(values: Values, task: Task) -> Pattern:
    """Say where outputs are read and judged."""
    wanted = values["model"]["readout"]
    fault = fault_of_patterns(task.patterns)
    if fault is not None:  # of the task that was made: its class was looked at as its file loaded
        raise PluginError(f"The task '{values['task']['name']}': {fault}.")
    if wanted == "auto":
        return task.patterns[0]
    if wanted not in task.patterns:
        raise ConfigError(
            f"model.readout={wanted} does not suit task={values['task']['name']}, whose targets "
            f"stand at: {', '.join(task.patterns)}. Leave model.readout=auto."
        )
    return wanted


def feedback_of(values: Values, task: Task) -> bool:
    """Say whether y_{t-1} is part of the input of step t."""
    wanted = values["model"]["feedback"]
    reason = _needs_feedback(values, task)
    if reason and wanted == "none":
        raise ConfigError(
            f"{reason}: model.feedback=none leaves the network nothing. Use model.feedback=output."
        )
    feedback = wanted == "output" or reason is not None
    if feedback and not task.targets_as_inputs:
        cause = f"{reason}, but model" if reason else "model"
        raise ConfigError(
            f"{cause}.feedback=output feeds targets back as inputs, which those of "
            f"task={values['task']['name']} cannot be. Tasks that can: {_tasks_with_feedback()}."
        )
    return feedback


def _needs_feedback(values: Values, task: Task) -> str | None:
    cell = values["cell"]["name"]
    if REGISTRY.get("cell", cell).cls.recurs_through == "output":
        return f"cell={cell} recurs through the output only"
    if task.input_size == 0:
        return f"task={values['task']['name']} shows no inputs of its own"
    return None


def _tasks_with_feedback() -> str:
    able = (e.name for e in REGISTRY.all("task") if e.cls.targets_as_inputs)
    return ", ".join(able)


def _check_window(plan: Plan) -> None:
    window, length = plan.values["unroll"]["window"], plan.task.length
    if window is not None and window > length:
        raise ConfigError(
            f"unroll.window={window} is longer than the task's {length} steps. "
            f"Give at most {length}, or unroll=full."
        )


def _check_feed(plan: Plan) -> None:
    feed = plan.values["unroll"]["feed"]
    if feed == "teacher" or plan.feedback:
        return
    advice = "Use model.feedback=output"
    if not plan.task.targets_as_inputs:
        advice = f"Tasks that can: {_tasks_with_feedback()}. Use one of them"
    raise ConfigError(
        f"unroll.feed={feed} would change nothing: no output of this network is fed back. "
        f"{advice}, or unroll.feed=teacher."
    )


def _check_shares(plan: Plan) -> None:
    devices, rows = plan.values["trainer"]["devices"], plan.task.batch_size
    if devices > 1 and rows % devices:
        raise ConfigError(
            f"trainer.devices={devices}: task.batch_size={rows} sequences cannot be shared equally."
            f" Use task.batch_size={max(devices, rows - rows % devices)}."
        )


def _check_ridge(values: Values) -> None:
    model = values["model"]
    Ridge(model["ridge_strength"], model["ridge_batches"])
    if model["head"] != "linear":
        raise ConfigError(
            f"model.readout_fit=ridge fits a matrix, which model.head={model['head']} does not "
            "have. Use model.head=linear."
        )


def _check_omega(plan: Plan, cell: Cell) -> None:
    values, name = plan.values, plan.values["cell"]["name"]
    unroll = values["unroll"]
    reasons = {
        f"cell={name}, whose recurrent matrix is none that is trained": not _has_matrix(cell),
        f"cell={name}, whose step is its own": has_own_step(cell),
        f"unroll.checkpoint_every={unroll['checkpoint_every']}": bool(unroll["checkpoint_every"]),
        f"unroll.feed={unroll['feed']} under feedback": plan.feedback
        and unroll["feed"] != "teacher",
        "trainer.precision=16-mixed, which scales gradients": values["trainer"]["precision"]
        == "16-mixed",
    }
    for reason, holds in reasons.items():
        if holds:
            raise ConfigError(
                f"omega.flavour={values['omega']['flavour']} needs dL/dh_t of a sequence unrolled "
                f"in one piece, and cannot go with {reason}. Use omega=none."
            )
    try:
        choose_backend(cell, unroll["backend"], "gradients")
    except ConfigError as error:
        raise ConfigError(f"{error} Use unroll.backend=auto with omega.") from error


def _has_matrix(cell: Cell) -> bool:
    matrix = cell.weight_hh if isinstance(cell, PointwiseCell) else None
    return matrix is not None and matrix.requires_grad


def _check_bidirectional(plan: Plan) -> None:
    task, window = plan.values["task"]["name"], plan.values["unroll"]["window"]
    reasons = {
        "model.feedback=output, which feeds back outputs that do not exist yet": plan.feedback,
        f"unroll.window={window}, which hides the steps to come": window is not None,
        f"task={task}, whose sequences go on beyond each batch": plan.task.carries_state,
    }
    for reason, holds in reasons.items():
        if holds:
            raise ConfigError(
                f"model.bidirectional=true reads the future, and cannot go with {reason}. "
                "Use model.bidirectional=false."
            )
