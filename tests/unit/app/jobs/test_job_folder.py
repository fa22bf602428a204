"""The folder of a job: a log that is not let grow."""

from pathlib import Path

from rnnexp.app.jobs.folder import LOG, cap_log


def test_a_long_log_loses_its_middle_and_can_be_written_on(tmp_path: Path) -> None:
    with (tmp_path / LOG).open("ab", buffering=0) as job:
        job.write(b"first\n" + b"x" * 10_000 + b"\nlatest\n")
        cap_log(tmp_path, limit=1000)
        job.write(b"after\n")
    text = (tmp_path / LOG).read_text()
    assert text.startswith("first\n")
    assert text.endswith("x\nlatest\nafter\n")
    assert "[9264 bytes are left out here]" in text
    assert len(text) < 1000
    assert text.count("x") == 500 - len("first\n") + 250 - len("\nlatest\n")


def test_a_short_log_stays(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("short")
    cap_log(tmp_path, limit=5)
    assert (tmp_path / LOG).read_text() == "short"
    cap_log(tmp_path / "none")
