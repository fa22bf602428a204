"""A run that goes on where something else has changed says so, and does not claim the same bits."""

from pathlib import Path

import torch

from rnnexp.tracking import load_run


def test_changed_versions_and_files_are_told(rnnexp, workdir: Path, store_uri: str) -> None:
    rows = "".join(f"{row % 2},{row}\n" for row in range(20))
    (workdir / "rows.csv").write_text(rows)
    words = ["task=labelled", "task.path=rows.csv", "trainer.val_every=3", "trainer.max_steps=6"]
    assert rnnexp("train", *words, "tracking.wait=0", "hydra.run.dir=out").code == 0
    (workdir / "rows.csv").write_text(rows + "1,20\n")
    journal = workdir / "out" / "journal.jsonl"
    ours = f'"version.torch": "{torch.__version__}"'
    assert journal.read_text().count(ours) == 1
    journal.write_text(journal.read_text().replace(ours, '"version.torch": "1.0"'))
    done = rnnexp("train", "resume=out", "trainer.max_steps=9")
    assert done.code == 0, done.err
    recorded = load_run(workdir / "out").tags["rnnexp.changed_since_checkpoint"]
    for told in ("What the file of task.path holds has changed since", ", and was 1.0 when the"):
        assert told in done.err
        assert told in recorded
