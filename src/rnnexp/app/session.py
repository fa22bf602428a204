"""One command: its runs, their shared record keeper, their common ending."""

import hashlib
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from rnnexp.app.compose import Job
from rnnexp.app.outcome import Outcome
from rnnexp.app.pictures import draw_sweep_picture
from rnnexp.app.run import run
from rnnexp.app.validate import validate
from rnnexp.report.table import print_table, summary_line
from rnnexp.tracking import RunHeader, RunLog, Tracking, provenance
from rnnexp.training.interrupt import Stopped, StopRequest

PARENT_SECONDS = 30.0
"""How long the first run of a sweep waits for MLflow to name the parent run."""


class Session:
    """Everything the runs of one command share.

    Args:
        command: the words that were typed.
        jobs: what they ask for.
    """

    def __init__(self, command: list[str], jobs: list[Job]) -> None:
        self.command = " ".join(command)
        self.jobs = jobs
        self.stop = StopRequest()
        self.outcomes: list[Outcome] = []
        self.stopped = False
        options = jobs[0].plan.values["tracking"]
        self.uri, self.wait = str(options["uri"]), float(options["wait"])
        self.experiment = str(options["experiment"])
        self.tracking = Tracking(self.uri, _artifact_root(self.uri))
        self._parent: RunLog | None = None
        self._folder = Path()

    @property
    def exit_code(self) -> int:
        """0 if every run finished."""
        return int(any(outcome.status != "FINISHED" for outcome in self.outcomes))

    def run_one(self, config: DictConfig) -> None:
        """Run one job; a failure is kept and does not stop the others."""
        plan = validate(config)
        hydra = HydraConfig.get()
        self._folder = Path(hydra.runtime.output_dir)
        parent = self._parent_id(hydra) if len(self.jobs) > 1 else None
        tags = {"rnnexp.command": self.command, "rnnexp.overrides": " ".join(hydra.overrides.task)}
        try:
            outcome = run(
                plan, self._folder, self.tracking, self.stop, tags=tags, parent_run_id=parent
            )
        except Stopped:
            self.stopped = True
            raise
        self.outcomes.append(outcome)
        self._say(outcome)

    def finish(self) -> None:
        """Close the record and print what came out."""
        if self._parent is not None:
            self._draw(self._parent)
            done = f"{sum(o.status == 'FINISHED' for o in self.outcomes)} of {len(self.jobs)}"
            self._parent.tags({"rnnexp.sweep.finished": done})
            status = "KILLED" if self.stopped else "FAILED" if self.exit_code else "FINISHED"
            reason = None if status == "FINISHED" else f"{done} runs finished"
            self._parent.end(status, reason)
        for folder in self.tracking.close(self.wait):
            where = f"rnnexp: {folder}: not all of it reached {self.uri} yet"
            print(f"{where}; later: rnnexp sync {folder}", file=sys.stderr)
        if len(self.jobs) > 1 and self.outcomes:
            print_table(self.outcomes)
            print(f"Compare them in MLflow's UI: {self._ui_command()}")

    def resume_hint(self) -> str:
        """Say how to go on with the run that was stopped."""
        return f"Go on: rnnexp train resume={self._folder}"

    def _draw(self, parent: RunLog) -> None:
        name = self.jobs[0].plan.task.sweep_picture
        if name is None or self.stopped:
            return
        for file in draw_sweep_picture(name, self.outcomes, parent.folder):
            parent.artifact(file)
            if file.suffix == ".png":
                print(f"Picture: {file}")

    def _say(self, outcome: Outcome) -> None:
        if outcome.error:
            print(f"rnnexp: {outcome.name} {outcome.status}: {outcome.error}", file=sys.stderr)
        if outcome.error or len(self.jobs) == 1:
            print(summary_line(outcome, self._ui_command()))

    def _parent_id(self, hydra: Any) -> str | None:
        if self._parent is None:
            overrides = [o for o in hydra.overrides.task if "=" in o]
            self._parent = self.tracking.open_run(
                Path(hydra.sweep.dir), self._parent_header(overrides)
            )
        return self._parent.run_id(timeout=PARENT_SECONDS)

    def _parent_header(self, overrides: list[str]) -> RunHeader:
        digest = hashlib.sha256("\n".join(job.overrides.__str__() for job in self.jobs).encode())
        tags = {**provenance(Path.cwd()), "rnnexp.command": self.command}
        tags["rnnexp.sweep.jobs"] = str(len(self.jobs))
        name = f"sweep-{digest.hexdigest()[:8]}"
        keys = sorted({o.partition("=")[0] for o in overrides})
        return RunHeader(name, self.experiment, {"sweep.keys": ", ".join(keys)}, tags)

    def _ui_command(self) -> str:
        default = self.uri == "sqlite:///mlflow.db"
        return "rnnexp ui" if default else f"rnnexp ui tracking.uri={self.uri}"


def _artifact_root(uri: str) -> Path | None:
    """Keep artifacts beside a local store; a server knows its own place."""
    return Path("outputs", "mlflow").resolve() if uri.startswith("sqlite:") else None
