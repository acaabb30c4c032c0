"""What is shown of text that means to hide."""

from phf.text import counted, masked, visible, visible_text


def test_visible_shows_what_would_not_be_seen_and_cuts():
    assert visible("a\tb\\ é 文 \u200b\ue000") == r"a\tb\\ é 文 \u200b\ue000"
    assert visible("x" * 10, 4) == "xxxx... (10 characters)"
    assert visible("xxxx", 4) == "xxxx"


def test_messages_and_samples_keep_their_lines_and_backslashes():
    assert visible_text("a\tb\n\\d\r\x00é\U000e0001\u202e") == "a\tb\n\\d\\r\\x00é\\U000e0001\\u202e"


def test_every_letter_and_digit_is_masked():
    assert masked("Ana Müller, +49 (30) 1234\n") == "••• ••••••, +•• (••) ••••\n"


def test_a_noun_agrees_with_its_count():
    assert [counted(count, "segment") for count in (0, 1, 2000)] == ["0 segments", "1 segment", "2,000 segments"]
    assert [counted(count, "has", "have") for count in (1, 2)] == ["1 has", "2 have"]
