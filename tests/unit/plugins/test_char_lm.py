"""The character language model: a real text, windows that continue, a sample."""

import math
from pathlib import Path

import pytest
import torch

from rnnexp.errors import ConfigError
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.tasks import IGNORED

TEXT = "".join(chr(97 + (i * i) % 7) + " "[: i % 3 == 0] for i in range(4000))


@pytest.fixture
def char_lm(plugins):
    return plugins.get("task", "char_lm").cls


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "text.txt"
    file.write_text(TEXT, encoding="utf-8")
    return str(file)


PARTS = {
    "train": TEXT[: round(len(TEXT) * 0.9)] * 2,  # an epoch begins anywhere and wraps round
    "val": TEXT[round(len(TEXT) * 0.9) : round(len(TEXT) * 0.95)],
    "test": TEXT[round(len(TEXT) * 0.95) :],
}


def read_on(task, split: str) -> list[str]:
    """Put the targets of each row together, window after window."""
    batches = [task.batch(split, index) for index in range(task.num_batches(split))]
    assert [batch.fresh for batch in batches] == [True] + [False] * (len(batches) - 1)
    alphabet = sorted(set(TEXT))
    rows = torch.cat([batch.targets for batch in batches]).T.tolist()
    return ["".join(alphabet[code] for code in row if code != IGNORED) for row in rows]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_rows_go_on_from_window_to_window(char_lm, path: str, split: str) -> None:
    task = char_lm(path=path, length=10, batch_size=4)
    assert all(row in PARTS[split] for row in read_on(task, split))


def test_windows_of_training_are_whole(char_lm, path: str) -> None:
    task = char_lm(path=path, length=10, batch_size=4)
    assert {len(row) for row in read_on(task, "train")} == {10 * task.num_batches("train")}


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize(("size", "length"), [(1, 50), (4, 10), (3, 66), (7, 13), (4, 500)])
def test_each_character_is_judged_once(
    char_lm, path: str, split: str, size: int, length: int
) -> None:
    task = char_lm(path=path, length=length, batch_size=size)
    assert "".join(read_on(task, split)) == PARTS[split][1:], "nothing says what the first is"
    batches = [task.batch(split, index) for index in range(task.num_batches(split))]
    assert sum(task.weight_of(batch) for batch in batches) == len(PARTS[split]) - 1
    assert all(len(batch.targets) == length for batch in batches[:-1])


def test_of_a_long_text_a_validation_judges_a_part(char_lm, path: str) -> None:
    task = char_lm(path=path, length=10, batch_size=4, val_characters=90)
    assert "".join(read_on(task, "val")) == PARTS["val"][1:91]
    assert "".join(read_on(task, "test")) == PARTS["test"][1:]
    whole = char_lm(path=path, length=10, batch_size=4)
    assert "".join(read_on(whole, "val")) == PARTS["val"][1:]
    assert task.baseline_of("val") != whole.baseline_of("val"), "that of what is judged"
    assert task.baseline_of("test") == whole.baseline_of("test")
    with pytest.raises(ConfigError, match="2 for each of the 4 rows of a batch, 8, got 7"):
        char_lm(path=path, batch_size=4, val_characters=7)


@pytest.mark.parametrize(("split", "index"), [("train", 2), ("val", 0)])
def test_the_target_is_the_next_character(char_lm, path: str, split: str, index: int) -> None:
    batch = char_lm(path=path, length=12, batch_size=3).batch(split, index)
    assert torch.equal(batch.inputs_TBI.argmax(-1)[1:], batch.targets[:-1])


def test_epochs_and_seeds_begin_elsewhere(char_lm, path: str) -> None:
    task = char_lm(path=path, length=10, batch_size=4)
    epoch = task.num_batches("train")
    assert not torch.equal(task.batch("train", 0).targets, task.batch("train", epoch).targets)
    other = char_lm(5, path=path, length=10, batch_size=4)
    assert not torch.equal(task.batch("train", 0).targets, other.batch("train", 0).targets)
    assert torch.equal(task.batch("val", 0).targets, other.batch("val", 0).targets)


def test_the_default_text_is_a_real_one_with_a_digest(char_lm) -> None:
    task = char_lm()
    assert int(task.facts["text.characters"]) > 300_000
    assert len(task.facts["text.sha256"]) == 64
    bits = task.baseline / math.log(2)
    assert 4.0 < bits < 5.5, "character frequencies of English cost about 4.2 to 5 bits"


def test_each_split_has_a_baseline_of_its_own(char_lm) -> None:
    task = char_lm()
    codes = {
        split: torch.cat([task.batch(split, i).targets for i in range(task.num_batches(split))])
        for split in ("train", "val", "test")
    }
    counts_V = torch.bincount(codes["train"].flatten(), minlength=task.output_size) + 1.0
    for split in ("val", "test"):
        logits = counts_V.log().expand(*codes[split].shape, -1)
        cost = float(task.loss(logits, codes[split]))
        assert task.baseline_of(split) == pytest.approx(cost, rel=2e-3), "training leaves out some"
    assert task.baseline_of("val") > 1.02 * task.baseline_of("test"), "other sections"


def test_nothing_long_that_is_tested_was_trained_on(char_lm) -> None:
    text, size = char_lm()._text, 200
    ends = [round(len(text) * share) for share in (0.9, 0.95)]
    seen = {text[i : i + size] for i in range(ends[0] - size + 1)}
    judged = text[ends[0] : ends[1]], text[ends[1] :]
    assert not any(part[i : i + size] in seen for part in judged for i in range(len(part)))


def test_a_text_of_ones_own_is_read_as_it_is(char_lm, tmp_path: Path) -> None:
    file = tmp_path / "verses.txt"
    file.write_text("refrain\n\nverse\n\n" * 50)
    assert char_lm(path=str(file), batch_size=2, length=8)._text == file.read_text()


def test_bits_are_nats_over_ln_2(char_lm, path: str) -> None:
    task = char_lm(path=path, batch_size=4, length=10)
    targets = task.batch("val", 0).targets
    even = torch.zeros(*targets.shape, task.output_size)
    bits = float(task.metrics(even, targets)["bits_per_character"])
    assert bits == pytest.approx(math.log2(len(set(TEXT))))


@pytest.mark.parametrize(("size", "length"), [(1, 50), (7, 13)])
def test_the_baseline_is_the_cost_of_what_is_judged(char_lm, path: str, size, length) -> None:
    task = char_lm(path=path, length=length, batch_size=size)
    counts_V = torch.bincount(task._codes["train"], minlength=task.output_size) + 1.0
    batches = [task.batch("test", index) for index in range(task.num_batches("test"))]
    targets = torch.cat([batch.targets for batch in batches])
    cost = float(task.loss(counts_V.log().expand(*targets.shape, -1), targets))
    assert task.baseline_of("test") == pytest.approx(cost, rel=1e-5)


@pytest.mark.parametrize("inputs", ["characters", "none"])
def test_a_trained_bigram_writes_what_it_has_seen(char_lm, plugins, tmp_path, inputs) -> None:
    file = tmp_path / "ab.txt"
    file.write_text("abcd" * 500)
    task = char_lm(path=str(file), batch_size=2, length=8, inputs=inputs)
    make = plugins.get("cell", "elman").cls
    feedback = inputs == "none"
    network = RecurrentNetwork(
        lambda size: make(size, hidden_size=8), task.input_size, 4, feedback=feedback
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    torch.manual_seed(0)
    for index in range(60):
        batch = task.batch("train", index)
        fed = task.encode_target(batch.targets) if feedback else None
        outputs, _ = network(batch.inputs_TBI, targets_TBO=fed)
        optimizer.zero_grad()
        task.loss(outputs, batch.targets).backward()
        optimizer.step()
    written = task.samples(network)["sample.txt"]
    assert "abcd" * 20 in written


def test_what_cannot_be_read_is_refused(char_lm, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"task.path=.*nowhere: cannot be read"):
        char_lm(path=str(tmp_path / "nowhere"))
    (tmp_path / "short").write_text("too short")
    with pytest.raises(ConfigError, match="9 characters are too few for batches of 32"):
        char_lm(path=str(tmp_path / "short"))
    (tmp_path / "least").write_text("a" * 1814)
    assert char_lm(path=str(tmp_path / "least")).num_batches("train") == 1
    (tmp_path / "less").write_text("a" * 1813)
    with pytest.raises(ConfigError, match=r"1813 characters are too few .* 1814 are needed"):
        char_lm(path=str(tmp_path / "less"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00" * 50)
    with pytest.raises(ConfigError, match="no text in UTF-8 that can be read"):
        char_lm(path=str(tmp_path / "binary"))
