"""A callback's key without its plus is refused with the word that was meant."""

import pytest

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.errors import UserError

PLUS = "A callback joins a run with a plus: "


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["callbacks.spectral_radius={}"], f"{PLUS}+callbacks.spectral_radius={{}}"),
        (["callbacks.spectral_radius.every=2"], f"{PLUS}+callbacks.spectral_radius={{}}"),
        (["callbacks={spectral_radius:{}}"], f"{PLUS}+callbacks.spectral_radius={{}}"),
        (["callbacks.spectral={}"], "Unknown callback 'spectral'. Did you mean 'spectral_radius'?"),
        (["callbacks.hello={}"], f"{PLUS}+callbacks.NAME={{}}"),
        (
            ["+callbacks.spectral_radius={}", "callbacks.spectral_radius.evry=2"],
            "Unknown key 'callbacks.spectral_radius.evry'. Did you mean 'every'?",
        ),
        (
            ["+callbacks.spectral_radius={}", "callbacks.spectral_radius.every=2"],
            f"{PLUS}+callbacks.spectral_radius.every=50",
        ),
    ],
)
def test_the_plus_is_named(workdir: object, words: list[str], said: str) -> None:
    prepare(words)
    with pytest.raises(UserError) as refused:
        check_jobs(words, multirun=False, config_dir=None)
    assert said in str(refused.value)
