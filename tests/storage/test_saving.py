import errno
import resource

import pytest
import torch
from safetensors import SafetensorError
from tests.tiny import tiny_tokenizer

from phf.storage.saving import os_errors


@pytest.mark.parametrize("kind", [Exception, SafetensorError])
def test_an_error_of_the_operating_system_is_one_of_python(kind, tmp_path):
    with pytest.raises(OSError, match="No space left on device") as raised, os_errors(tmp_path):
        raise kind("Error while serializing: I/O error: No space left on device (os error 28)")
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    "error",
    [SafetensorError("invalid header"), ValueError("(os error 28)"), Exception("other"), RuntimeError("sizes differ")],
)
def test_other_errors_stay_what_they_are(error, tmp_path):
    with pytest.raises(type(error)) as raised, os_errors(tmp_path):
        raise error
    assert raised.value is error


def test_a_tokenizer_that_cannot_be_written_is_an_error_of_the_operating_system(tmp_path):
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(OSError, match="directory"), os_errors(tmp_path):
        tiny_tokenizer().save_pretrained(tmp_path)


@pytest.fixture
def small_files():
    """No file may grow beyond 100,000 bytes, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_keeps_torch_from_writing_is_found_out(tmp_path, small_files):
    with pytest.raises(OSError, match="File too large") as raised, os_errors(tmp_path):
        torch.save(torch.zeros(100_000), tmp_path / "a.pt")
    assert raised.value.errno == errno.EFBIG
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_what_kept_torch_from_writing_and_is_over_is_an_error_of_input_and_output(tmp_path):
    with pytest.raises(OSError, match="Input/output error"), os_errors(tmp_path):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
