"""The page of all messages: every way in which the source makes a message is found, and leads to one explanation."""

import ast
import importlib
import sys
from pathlib import Path
from textwrap import dedent

import pytest

SITE = Path(__file__).parents[1] / "docs/site"


@pytest.fixture
def scripts(monkeypatch):
    """The scripts that write the page, freshly imported."""
    names = [path.stem for path in SITE.glob("*.py")]
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(SITE))
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def messages_of(scripts, monkeypatch):
    """Name of a file -> its code; the messages in it."""

    def read(**files: str) -> list[str]:
        source = scripts("source")
        errors = "class PhfError(ValueError): ...\nclass ConfigError(PhfError): ...\n"
        code = {"errors": errors, **{name: dedent(text) for name, text in files.items()}}
        modules = {f"phf.{name}": source.Module(f"phf.{name}", ast.parse(text)) for name, text in code.items()}
        monkeypatch.setattr(source, "modules", lambda: modules)
        return [message.text for message in scripts("source_messages").messages()]

    return read


def test_what_is_inserted_is_left_open(messages_of):
    code = """
        def check(path, size):
            raise ConfigError(f"{path}: has {size:,} bytes, " "which is " + "too much.")
        """
    assert messages_of(a=code) == ["…: has … bytes, which is too much."]


def test_each_alternative_is_in_a_message_but_not_each_combination(messages_of):
    code = """
        def check(path):
            kind = "a file" if path.is_file() else "a folder"
            advice = "Remove it" if kind else "Rename it"
            raise ConfigError(f"There is {kind} in the way. {advice}.")
        """
    assert messages_of(a=code) == ["There is a file in the way. Remove it.", "There is a folder in the way. Rename it."]


def test_forms_of_a_word_are_not_alternatives(messages_of):
    code = """
        def check(names):
            raise ConfigError(f"{names} {'is' if len(names) == 1 else 'are'} not known here.")
        """
    assert messages_of(a=code) == ["… not known here."]


def test_a_count_is_in_the_plural(messages_of):
    code = """
        def check(blocks, processes):
            raise ConfigError(f"{counted(blocks, 'block')} for {counted(processes, 'process', 'processes')}: too few.")
        """
    assert messages_of(a=code) == ["… blocks for … processes: too few."]


def test_helpers_and_constants_of_other_files_are_followed(messages_of):
    helper = """
        ADVICE = "Choose another one."

        def missing(name):
            return f"there is no {name}"
        """
    code = """
        from phf.helper import ADVICE, missing
        from phf.errors import ConfigError

        def check():
            raise ConfigError(f"{missing('model')}. {ADVICE}")
        """
    assert messages_of(helper=helper, a=code) == ["there is no model. Choose another one."]


def test_a_function_that_says_little_is_completed_by_its_calls(messages_of):
    code = """
        class Row(ConfigError):
            def __init__(self, place, reason):
                super().__init__(f"{place}: {reason}")

        def read(path):
            raise Row(path, "is not a row of CSV")

        def check(path, wanted):
            raise ConfigError(f"{path} has to be {wanted}.")

        def check_size(path):
            check(path, "small")
        """
    assert messages_of(a=code) == ["…: is not a row of CSV", "… has to be …."]


def test_errors_of_a_class_that_the_caller_chooses_are_found(messages_of):
    code = """
        def read(path, error, advice=""):
            raise error(f"{path}: is not valid YAML. {advice}")

        def load(path):
            return read(path, ConfigError, "Restore the file, or remove it.")
        """
    assert messages_of(a=code) == ["…: is not valid YAML. …", "…. Restore the file, or remove it."]


def test_warnings_are_found_in_every_form(messages_of):
    code = """
        def check(name, warnings, logger):
            logger.warning("%s has changed since then.", name)
            warnings += [f"{name} is ignored here."]
            warnings.append("It is read once.")
            say(f"Nothing of {name} is scored.", "yellow")
            say(f"This does not warn of {name}.")
        """
    assert sorted(messages_of(a=code)) == [
        "It is read once.",
        "Nothing of … is scored.",
        "… has changed since then.",
        "… is ignored here.",
    ]


def test_what_only_passes_a_message_on_is_not_one(messages_of):
    code = """
        def check(key, error):
            raise ConfigError(f"model.path_or_name: {error}")
        """
    assert messages_of(a=code) == []


def test_a_message_is_explained_by_the_row_that_is_about_the_fewest(scripts):
    explanations = scripts("explanations")
    general = explanations.Row("Options", ("it must be",), "out of range", "as it says")
    special = explanations.Row("Training", ("beta is …; it must be",), "the formula divides by it", "above 0")
    texts = ["alpha is …; it must be above 0.", "objective.beta is …; it must be above 0.", "no tokens"]
    assert explanations.explained(texts, [special, general]) == dict(zip(texts, [general, special, None], strict=True))


def test_a_quotation_occurs_in_its_order_only(scripts):
    occurs = scripts("explanations").occurs
    assert occurs("has no '…', only", "a: has no 'b', only c")
    assert not occurs("only … has no", "a: has no 'b', only c")
    assert not occurs("has (no)", "has no")


def test_every_message_of_the_page_has_its_reason_above_it(scripts):
    page = scripts("messages").page()
    entry = page.partition("### `is a Git LFS pointer, not the data`\n\n")[2].partition("\n\n#")[0]
    assert entry.splitlines() == [
        "The repository was cloned without its large files. **What to do:** `git lfs pull`.",
        "",
        "- `…: is a Git LFS pointer, not the data. Get it with: git lfs pull`",
    ]
