"""Every causal-LM architecture of transformers, or why not."""

import gc
import re

import pytest
import transformers
from tests.sweep.architectures import ARCHITECTURES, REPRESENTATIVE, UNSUPPORTED
from tests.sweep.check import check_model_type, check_refused
from tests.sweep.table import BEGIN, END, PAGE

SUPPORTED = [name for name in ARCHITECTURES if name not in UNSUPPORTED]


@pytest.mark.parametrize("model_type", REPRESENTATIVE)
def test_a_representative_architecture_keeps_every_promise(model_type, tmp_path):
    check_model_type(model_type, tmp_path)


@pytest.mark.sweep
@pytest.mark.parametrize("model_type", SUPPORTED)
def test_an_architecture_keeps_every_promise(model_type, tmp_path, outcomes):
    outcomes[model_type] = check_model_type(model_type, tmp_path)
    gc.collect()


@pytest.mark.sweep
@pytest.mark.parametrize("model_type", UNSUPPORTED)
def test_an_architecture_that_cannot_be_trained_is_refused(model_type):
    check_refused(model_type)


def test_what_cannot_be_trained_is_an_architecture_of_transformers():
    assert set(UNSUPPORTED) <= set(ARCHITECTURES)
    assert len(SUPPORTED) >= 150


def test_the_page_lists_every_architecture_of_the_version_it_names():
    part = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    if f"transformers {transformers.__version__}," not in part:
        pytest.skip("made with another version of transformers: make sweep")
    assert sorted(set(re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE)) - {"model_type"}) == ARCHITECTURES
