"""The server that the environment names, and the model that it serves."""

import json
import os
import urllib.request

import pytest


@pytest.fixture(scope="module")
def url():
    return os.environ["PHF_TEST_SERVER_URL"]


@pytest.fixture(scope="module")
def served_name(url):
    """The first model that the server lists."""
    key = os.environ.get("OPENAI_API_KEY", "none")
    request = urllib.request.Request(f"{url}/models", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"][0]["id"]


@pytest.fixture(scope="module")
def folder():
    return os.environ["PHF_TEST_SERVER_MODEL_DIR"]
