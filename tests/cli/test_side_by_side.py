"""What `phf study` and `phf tamper` put before each of their runs."""

import pytest

from phf.cli.side_by_side import words_of
from phf.errors import ConfigError, SecretError

KEY = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh"


def test_the_words_of_a_launcher_are_those_of_a_shell():
    assert words_of("srun --comment 'a b'") == ["srun", "--comment", "a b"]
    assert words_of(None) == []


def test_a_launcher_that_a_shell_would_not_accept_is_an_error():
    with pytest.raises(ConfigError, match=r"^--launcher 'srun: No closing quotation\.$"):
        words_of("'srun")


@pytest.mark.parametrize(
    "launcher", [f"env HF_TOKEN={KEY}", f"env 'HF_TOKEN={KEY}'", f"env 'HF_TOKEN={KEY}", f"sh -c 'login {KEY}; \"$@\"'"]
)
def test_a_launcher_that_holds_a_key_is_refused_without_showing_it(launcher):
    with pytest.raises(SecretError) as error:
        words_of(launcher)
    assert KEY not in str(error.value)
