import errno

import pytest
from safetensors import SafetensorError
from tests.tiny import tiny_tokenizer

from phf.storage.saving import os_errors


@pytest.mark.parametrize("kind", [Exception, SafetensorError])
def test_an_error_of_the_operating_system_is_one_of_python(kind):
    with pytest.raises(OSError, match="No space left on device") as raised, os_errors():
        raise kind("Error while serializing: I/O error: No space left on device (os error 28)")
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize("error", [SafetensorError("invalid header"), ValueError("(os error 28)"), Exception("other")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as raised, os_errors():
        raise error
    assert raised.value is error


def test_a_tokenizer_that_cannot_be_written_is_an_error_of_the_operating_system(tmp_path):
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(OSError, match="directory"), os_errors():
        tiny_tokenizer().save_pretrained(tmp_path)
