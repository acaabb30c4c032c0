"""Secrets in configurations: refused and not shown, and nothing else is taken for one."""

import re

import pytest

from phf.errors import ConfigError, SecretError
from phf.storage.secrets import (
    is_name_of_variable,
    is_secret,
    redacted,
    refuse_secrets,
    refuse_secrets_of_command,
    without_parts,
)

SECRETS = [
    "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh",
    "sk-" + "proj-AbC123dEf456GhI789jKl012",
    "sk-" + "ant-api03-AbC123dEf456GhI789jKl012-AAAA",
    "sk-" + "abcdefghijklmnopqrstuvwxyz123456",
    "gsk_" + "a1B2" * 12,
    "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1B2" * 9,
    "glpat-" + "a1B2" * 5,
    "xoxb-" + "123456789012-abcdef",
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "Bearer " + "abcdef0123456789",
    "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIE",
    "https://user:" + "hunter2@example.org/data",
    "https://bucket.example.org/a.parquet?X-Amz-Signature=" + "0123456789abcdef",
    "https://example.org/a.jsonl#access_token=" + "0123456789abcdef",
    "https://example.org/api/prompts?code=" + "aB3dE5gH7jK9mN1pQ3sT5vW7==",
    "https://example.org/a?client_secret=" + "0123456789abcdef",
    "https://example.org/a?subscription-key=" + "0123456789abcdef",
]
HARMLESS = [
    "d3b07384d113edec49eaa6238ad5ff00",
    "e83c5163316f89bfbde7d9ab23ca2e25604af290",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "/data/hf_d3b07384d113edec49eaa6238ad5ff00/model.safetensors",
    "hf_checkpoints/a/b",
    "sk-learn-contrib/some-very-long-name-of-a-model",
    "sklearn",
    "tomekkorbak/detoxify-pile-chunk3-0-50000",
    "codeparrot/codeparrot-small",
    "s3://bucket/path/to/a.parquet",
    "https://example.org/a?revision=0123456789abcdef",
    "https://example.org/a?code=python-3.11&zipcode=10115",
    "hf://datasets/a/b@refs%2Fconvert%2Fparquet/data.parquet",
    "<|aligned|>",
    "<|endoftext|>",
    "My password is hunter2, and my key is sk-abcdefghijklmnopqrstuvwxyz123456.",
    "Write {count} more of the same kind, each different.",
    "gAAAAABmkeyless",
    "eyJhbGci",
    "",
]


@pytest.mark.parametrize("text", SECRETS)
def test_what_has_the_shape_of_a_credential_is_refused_with_its_key_and_without_its_value(text):
    values = {"model": {"config_kwargs": {"a": [1, {"b": text}]}}}
    with pytest.raises(
        SecretError, match=r"^FILE: 'model\.config_kwargs\.a\.1\.b' (looks like a credential|holds a)"
    ) as error:
        refuse_secrets(values, "FILE")
    assert text.split()[-1] not in str(error.value)
    assert isinstance(error.value, ConfigError)


@pytest.mark.parametrize("text", HARMLESS)
def test_hashes_names_paths_and_texts_are_not_taken_for_secrets(text):
    assert not is_secret(text)
    refuse_secrets({"a": text, "revision": text, "prompts": [text], "prefix": text}, "FILE")


@pytest.mark.parametrize(
    "key", ["password", "api_key", "hub_token", "secret", "aws_secret_access_key", "openai-api-key", "Authorization"]
)
def test_a_key_that_is_called_after_a_secret_has_no_value(key):
    with pytest.raises(SecretError, match=re.escape(f"'a.{key}' is a secret by its name")) as error:
        refuse_secrets({"a": {key: "hunter2"}}, "FILE")
    assert "hunter2" not in str(error.value)
    refuse_secrets({"a": {key: None}}, "FILE")


def test_a_token_may_be_one_of_a_text():
    refuse_secrets(
        {"token": "<|endoftext|>", "bos_token": "<s>", "control_tokens": ["<|good|>"], "max_tokens": 5}, "FILE"
    )
    with pytest.raises(SecretError, match="'token' looks like a credential"):
        refuse_secrets({"token": "a1b2c3d4e5f6a7b8c9d0"}, "FILE")


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "MY_KEY_2", "key", "_KEY", "openai_key", "AZURE_OPENAI_SERVICE_KEY", "K"]
)
def test_names_of_environment_variables(name):
    assert is_name_of_variable(name)
    refuse_secrets({"api_key_env": name}, "FILE")


@pytest.mark.parametrize(
    "key", [*SECRETS, "", "a b", "a-b", "0a", "a1b2" * 8, "abcdefghijklmnopqrstuvwxyzABCDEF", "A1B2" * 8]
)
def test_a_key_is_not_the_name_of_a_variable(key):
    assert not is_name_of_variable(key)


def test_a_key_where_the_name_of_its_variable_belongs_is_not_shown():
    with pytest.raises(SecretError, match=r"'red_lm\.api_key_env' is not the name of an environment variable") as error:
        refuse_secrets({"red_lm": {"api_key_env": "a1b2" * 8}}, "FILE")
    assert "a1b2" not in str(error.value)


def test_text_without_its_secrets():
    assert redacted(f"a={SECRETS[0]}, b") == "a=***, b"


def test_parts_of_a_secret_are_not_shown_either():
    key = "sk-secret0Key1234567890abcdefXYZ"
    text = f"\0 it was {key[:14]}\n{key[14:]}, or {key[5:15]}; {key[:6]} is left"
    assert without_parts(text, [key]) == f"\0 it was ***\n***, or ***; {key[:6]} is left"
    assert without_parts("", [key]) == ""
    assert without_parts(text, ["short"]) == text


def test_an_argument_of_a_command_is_named_by_its_place():
    with pytest.raises(SecretError, match=r"^phf annotate: 'argument 2' holds a user name or password"):
        refuse_secrets(["corpus", "https://user:" + "hunter2@example.org/data"], "phf annotate")


@pytest.mark.parametrize(
    "command",
    [
        ["env", f"HF_TOKEN={SECRETS[0]}"],
        ["srun", f"--export=ALL,WANDB_API_KEY={'0123abcd' * 5}", "--gpus", "1"],
        ["sh", "-c", f'HF_TOKEN={SECRETS[0]} exec "$@"', "-"],
        ["submit", "--password", "hunter2"],
        ["submit", "--url", "https://user:" + "hunter2@example.org/"],
    ],
)
def test_a_secret_among_the_words_of_a_command_is_refused(command):
    with pytest.raises(SecretError, match=r"^--launcher: ") as error:
        refuse_secrets_of_command(command, "--launcher")
    assert not any(secret in str(error.value) for secret in (SECRETS[0], "hunter2", "0123abcd"))


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["srun", "--gpus", "1", "--export=ALL,OMP_NUM_THREADS=1"],
        ["sh", "-c", 'HF_TOKEN=$(cat token) exec "$@"', "-"],
        ["env", "CUDA_VISIBLE_DEVICES=0", "nice", "-n", "10"],
        ["docker", "run", "-e", "HF_TOKEN", "image:1@sha256:0123456789abcdef0123456789abcdef"],
    ],
)
def test_other_words_of_a_command_are_accepted(command):
    refuse_secrets_of_command(command, "--launcher")
