"""A legend tells runs apart, however many settings they differ in."""

from rnnexp.report.legend import legend_of
from rnnexp.report.words import LABEL

WORDS = [f"task.option_{i}" for i in range(12)]


def test_values_alone_where_there_is_room() -> None:
    assert legend_of(["cell.name", "seed"], [("gru", "0"), ("lstm", "0")]) == (
        "cell, seed",
        ["gru, 0", "lstm, 0"],
    )
    assert legend_of([], [(), ()]) == ("", ["", ""])


def test_what_most_have_is_said_once() -> None:
    keys = ["cell.name", "clip.by", "optimizer._target_", *WORDS]
    rows = [
        (cell, by, "torch.optim.SGD", *(["usual value"] * 12))
        for cell, by in (("gru", "norm"), ("lstm", "norm"), ("elman", "norm"), ("elman", "none"))
    ]
    title, names = legend_of(keys, rows)
    assert title.startswith("usual settings: clip=norm optimizer=torch.optim.SGD option_0=usual")
    assert names == ["cell=gru", "cell=lstm", "cell=elman", "cell=elman clip=none"]


def test_a_group_is_named_where_two_have_the_same_option() -> None:
    keys = ["cell.size", "model.size", *WORDS]
    rows = [(str(i), "9", *([str(i) * 9] * 12)) for i in range(2)]
    assert all("cell.size=" in name for name in legend_of(keys, rows)[1])


def test_no_two_names_are_cut_to_the_same() -> None:
    rows = [[f"{i}{k}" * 3 for k in range(12)] for i in range(40)]
    rows[1] = [*rows[0][:6], "other", *rows[0][7:]]
    _, names = legend_of(WORDS, rows)
    assert len(set(names)) == 40
    assert max(map(len, names)) <= LABEL
