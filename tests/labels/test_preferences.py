"""Public preference formats: which text is judged, and what is refused."""

import pytest

from phf.errors import CorpusError
from phf.labels.preferences import Preference, is_tie, preference

USER, GOOD, BAD = ({"role": "user", "content": "Why?"}, *({"role": "assistant", "content": c} for c in ("So.", "No.")))
SHARED = "User: Why?"


@pytest.mark.parametrize(
    ("row", "conversation", "response"),
    [
        ({"chosen": "a", "rejected": "b"}, ("", "a", "b"), ("", "a", "b")),
        (  # as in TRL: prompt and response follow each other directly
            {"prompt": "It is", "chosen": " blue", "rejected": " red"},
            ("It is", "It is blue", "It is red"),
            ("It is", " blue", " red"),
        ),
        (  # both texts contain the prompt already
            {"prompt": "It is", "chosen": "It is blue", "rejected": "It is red"},
            ("It is", "It is blue", "It is red"),
            ("It is", " blue", " red"),
        ),
        (  # HH-RLHF in messages, UltraFeedback (with the prompt as text too), prompt in messages of its own
            {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
            (SHARED, f"{SHARED}\n\nAssistant: So.", f"{SHARED}\n\nAssistant: No."),
            (SHARED, "So.", "No."),
        ),
        (
            {"prompt": "Why?", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
            (SHARED, f"{SHARED}\n\nAssistant: So.", f"{SHARED}\n\nAssistant: No."),
            (SHARED, "So.", "No."),
        ),
        (
            {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
            (SHARED, f"{SHARED}\n\nAssistant: So.", f"{SHARED}\n\nAssistant: No."),
            (SHARED, "So.", "No."),
        ),
        (
            {"prompt": "Why?", "chosen": [GOOD], "rejected": [BAD]},
            (SHARED, f"{SHARED}\n\nAssistant: So.", f"{SHARED}\n\nAssistant: No."),
            (SHARED, "So.", "No."),
        ),
        (  # content in parts
            {"chosen": [{"role": "assistant", "content": [{"type": "text", "text": "a"}]}], "rejected": [BAD]},
            ("", "Assistant: a", "Assistant: No."),
            ("", "a", "No."),
        ),
    ],
)
def test_texts_of_a_row(row, conversation, response):
    assert preference(row, "f, line 1", "conversation") == Preference(*conversation)
    assert preference(row, "f, line 1", "response") == Preference(*response)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"chosen": "a", "rejected": " \n"}, "f, line 3: 'rejected' is empty"),
        ({"chosen": None, "rejected": "a"}, "f, line 3: 'chosen' is empty"),
        ({"chosen": [], "rejected": [BAD]}, "f, line 3: 'chosen' is empty"),
        ({"chosen": "a", "rejected": "a"}, "f, line 3: 'chosen' and 'rejected' are the same text"),
        ({"prompt": "p", "chosen": "a", "rejected": "a"}, "are the same text"),
        ({"chosen": [USER, GOOD], "rejected": [USER, GOOD]}, "are the same text"),
        ({"chosen": 5, "rejected": "a"}, "f, line 3: 'chosen' is 5; text or a list of messages"),
        ({"chosen": "a", "rejected": [BAD]}, "one of 'chosen' and 'rejected' is text, the other a list"),
        ({"chosen": ["x"], "rejected": [BAD]}, r"'chosen\[0\]' is 'x'; a message with 'role'"),
        ({"chosen": [{"content": "x"}], "rejected": [BAD]}, r"'chosen\[0\]'.role is None"),
        (
            {"chosen": [{"role": "user", "content": [{"type": "image"}]}], "rejected": [BAD]},
            r"'chosen\[0\]'.content is .*nothing but text",
        ),
    ],
)
@pytest.mark.parametrize("part", ["conversation", "response"])
def test_what_is_not_a_preference_is_refused_with_its_place(row, message, part):
    with pytest.raises(CorpusError, match=message):
        preference(row, "f, line 3", part)


def test_equal_scores_are_a_tie_and_reversed_ones_an_error():
    assert is_tie({"score_chosen": 4.0, "score_rejected": 4}, "f")
    assert not is_tie({"chosen-rating": 5, "rejected-rating": 4}, "f")
    assert not is_tie({"score_chosen": None, "score_rejected": 4}, "f")
    with pytest.raises(CorpusError, match="f: 'score_chosen' is 3, below 'score_rejected', 4"):
        is_tie({"score_chosen": 3, "score_rejected": 4}, "f")
