"""The typed groups of the config that belong to no plugin.

Each class is read by `rnnexp.options`: its fields are keyword-only, typed, and documented under
``Args:``. Optimizers and schedules are not here: their keys are the arguments of the torch class
that ``_target_`` names.
"""

from dataclasses import dataclass
from typing import Literal

from rnnexp.recurrence.feed import FeedMode, ScheduleKind


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The network around the cells.

    Args:
        layers: how many cells are stacked.
        dropout: probability of dropping an output between two layers.
        readout: where outputs are read; auto takes what the task asks for.
        head: linear maps h to y by a trained matrix; identity takes h itself, where O equals H.
        feedback: output feeds y_{t-1} into step t; auto does so for cells that have no other
            recurrence.
        bidirectional: run each layer in both directions of time and join their outputs.
        init_from: a run (MLflow id or its first characters, its folder, latest) or a checkpoint
            file, with whose weights the network begins. The cells must be the same; a readout of
            another size begins anew, and so do optimizer, schedule and steps.
        readout_fit: ridge sets the linear head in closed form before training, to the best one
            for the recurrence as it starts; none leaves it to training.
        ridge_strength: how strongly ridge holds the head's weights small.
        ridge_batches: over how many training batches ridge fits.
    """

    layers: int = 1
    dropout: float = 0.0
    readout: Literal["auto", "every_step", "last"] = "auto"
    head: Literal["linear", "identity"] = "linear"
    feedback: Literal["auto", "none", "output"] = "auto"
    bidirectional: bool = False
    init_from: str | None = None
    readout_fit: Literal["none", "ridge"] = "none"
    ridge_strength: float = 1e-6
    ridge_batches: int = 50


@dataclass(frozen=True, kw_only=True)
class UnrollOptions:
    """How far and by which means time is unrolled.

    Args:
        window: steps per window of truncated BPTT; null unrolls the whole sequence.
        feed: what is fed back in training under model.feedback=output.
        teacher_share: probability of the target under feed=scheduled, in the beginning.
        teacher_schedule: how that probability falls over training.
        teacher_floor: where the linear schedule stops.
        teacher_steps: optimizer steps that set its pace, the k of docs/recurrence.md: a share of
            1 is 0 after k of the linear form, a half after 0.69 k of the exponential one, and after
            k ln k of the inverse sigmoid.
        backend: what runs the recurrence; auto takes the fastest that is valid.
        checkpoint_every: keep activations of every so many steps only, and compute the others
            again in the backward pass: the same gradients in less memory, least at the square
            root of the steps; null keeps all.
        check_finite: stop at the first input or state that is NaN or infinite, and say where.
    """

    window: int | None = None
    feed: FeedMode = "teacher"
    teacher_share: float = 0.5
    teacher_schedule: ScheduleKind = "constant"
    teacher_floor: float = 0.0
    teacher_steps: float = 1000.0
    backend: str = "auto"
    checkpoint_every: int | None = None
    check_finite: bool = False


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """How gradients are clipped before the optimizer step.

    Args:
        by: norm scales all gradients down together, value cuts each element.
        max_norm: largest global norm, with by=norm.
        max_value: largest absolute value of an element, with by=value.
    """

    by: Literal["none", "norm", "value"] = "none"
    max_norm: float | None = None
    max_value: float | None = None


@dataclass(frozen=True, kw_only=True)
class OmegaOptions:
    """The regulariser of Pascanu et al. 2013, which keeps dL/dh_t from vanishing on its way back.

    Args:
        flavour: paper is equation 9; code is what the authors' program computes.
        weight: by what Omega is multiplied; null takes the flavour's own, 4 or 2.
        decay_steps: steps after which the weight is halved, as 1 / (1 + step / decay_steps); null
            keeps it.
    """

    flavour: Literal["none", "paper", "code"] = "none"
    weight: float | None = None
    decay_steps: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """How long, on what, and how precisely Lightning trains.

    Args:
        max_steps: optimizer steps.
        max_epochs: epochs, where the task has a natural one; null leaves it to max_steps.
        val_every: training batches between two validations, which wait for the end of an optimizer
            step; the last step is validated, too.
        accelerator: the kind of device, as in Lightning; auto takes the fastest there is.
        devices: how many devices train this one network, a process each; every batch of
            task.batch_size sequences is shared between them, so that the gradient stays the same.
        strategy: auto, or ddp and its kinds, as in Lightning; for several devices.
        precision: as in Lightning.
        accumulate: batches whose gradients are averaged for one optimizer step; the last of an
            epoch takes what is left of it.
        deterministic: refuse operations that do not repeat bit for bit.
        early_stop_after: validations without improvement of val/loss that end the run, or of
            val/loss_free under unroll=scheduled or free; null never.
        progress: how far it is; auto takes the bar on a terminal and lines elsewhere.
    """

    max_steps: int = 1000
    max_epochs: int | None = None
    val_every: int = 100
    accelerator: Literal["cpu", "gpu", "cuda", "mps", "tpu", "auto"] = "cpu"
    devices: int = 1
    strategy: str = "auto"
    precision: Literal["32-true", "64-true", "bf16-true", "bf16-mixed", "16-mixed"] = "32-true"
    accumulate: int = 1
    deterministic: bool = False
    early_stop_after: int | None = None
    progress: Literal["auto", "bar", "lines", "none"] = "auto"


@dataclass(frozen=True, kw_only=True)
class TrackingOptions:
    """Where the record of a run goes.

    Args:
        uri: any MLflow tracking store; the default is a file in the folder of the command.
        experiment: MLflow experiment.
        name: run name; null makes one of task, cell, clipping and seed.
        wait: seconds to wait at the end, in all, for the store to take everything.
        disk_full: go_on trains on when the run's own record cannot be written, and tries again;
            stop ends the run.
    """

    uri: str = "sqlite:///mlflow.db"
    experiment: str = "rnnexp"
    name: str | None = None
    wait: float = 60.0
    disk_full: Literal["go_on", "stop"] = "go_on"


@dataclass(frozen=True, kw_only=True)
class MonitorOptions:
    """What is watched at every step, and what is done about a NaN or an infinity.

    Args:
        flow_every: steps between two records of the gradient's flow through time: the norm of
            dL/dh_t, and by a backward pass more what arrives of the gradient that enters last.
            null records none, and cliffs are located all the same. unroll.backend=vendor does not
            show it.
        dynamics_every: steps between two looks at how the state itself moves, its norm, its
            saturation and the growth of a difference: ``dynamics.jsonl`` and flow/ metrics; each
            runs the sequence, or 2000 steps of it, twice more, step by step. null for none.
        cliff_ratio: how many times the running median a norm must be to count as a cliff.
        cliff_deviations: how many robust standard deviations it must lie above, too.
        pictures: draw norms and flow at the end; auto does so for a run that is no part of a sweep.
        nonfinite: what is done at a NaN or an infinity: end the run, skip the step, or go back to
            the last snapshot with a lower learning rate.
        rollback_factor: by which a rollback multiplies the learning rate of all later steps, over
            whatever the schedule says.
        max_rollbacks: after so many the run ends.
        snapshot_every: steps between two snapshots that a rollback can return to.
    """

    flow_every: int | None = 10
    dynamics_every: int | None = None
    cliff_ratio: float = 8.0
    cliff_deviations: float = 5.0
    pictures: Literal["auto", "always", "never"] = "auto"
    nonfinite: Literal["raise", "skip", "rollback"] = "raise"
    rollback_factor: float = 0.5
    max_rollbacks: int = 3
    snapshot_every: int = 50


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """How a sweep, ``-m``, goes about its jobs; hydra.launcher says how many run at once.

    Args:
        name: its folder, outputs/sweeps/NAME, and its run in MLflow; null makes one of the
            overrides, the same for more values of the same keys.
        retry_failed: run those again that failed by themselves; interrupted ones always go on.
        fail_fast: end the sweep at the first job that fails.
        timeout: seconds after which a job is ended as failed; null never.
        picture: what the sweep draws at its end; null leaves it to the task.
    """

    name: str | None = None
    picture: Literal["cliff_surface", "zoo"] | None = None
    retry_failed: bool = False
    fail_fast: bool = False
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class RootOptions:
    """What stands at the top of the config.

    Args:
        seed: fixes the weights, the training data and every draw; a CPU run repeats bit for bit.
        threads: CPU threads of torch, in each process; null leaves torch's choice.
        flush_denormal: treat denormal numbers as zero, in every thread; vanishing gradients make
            many, and some CPUs compute with them many times slower.
        plugin_dirs: folders with plugins, beside those in $RNNEXP_PLUGINS.
        resume: MLflow run id or its first characters, latest, or path of a checkpoint or of a run
            folder, to go on from.
    """

    seed: int = 0
    threads: int | None = None
    flush_denormal: bool = True
    plugin_dirs: list[str] = ()  # type: ignore[assignment]  # OmegaConf wants list, dataclass no list
    resume: str | None = None


GROUPS: dict[str, type] = {
    "model": ModelOptions,
    "unroll": UnrollOptions,
    "clip": ClipOptions,
    "omega": OmegaOptions,
    "trainer": TrainerOptions,
    "tracking": TrackingOptions,
    "monitor": MonitorOptions,
    "sweep": SweepOptions,
}
