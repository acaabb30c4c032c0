"""Keeps Presidio's time linear in a text, and its patterns from being left out silently."""

import copy
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from phf.scorers.spans import TooMuchWorkError


def linear_enhancer(presidio: Any) -> Any:
    """Presidio's `LemmaContextAwareEnhancer`, with tables instead of a walk through all tokens for each detection."""

    class LinearEnhancer(presidio.LemmaContextAwareEnhancer):  # type: ignore[misc, name-defined]
        def enhance_using_context(
            self, text: str, raw_results: Any, nlp_artifacts: Any, *rest: Any, **more: Any
        ) -> Any:
            tokens = nlp_artifacts.tokens
            self._ends = [start + len(token) for start, token in zip(nlp_artifacts.tokens_indices, tokens, strict=True)]
            words = [lemma.lower() for lemma in nlp_artifacts.lemmas]
            known = set(nlp_artifacts.keywords)
            self._keywords = [(index, word) for index, word in enumerate(words) if word in known]
            self._places = [index for index, _ in self._keywords]
            return super().enhance_using_context(text, raw_results, nlp_artifacts, *rest, **more)

        def _extract_surrounding_words(self, nlp_artifacts: Any, word: str, start: int) -> list[str]:
            index = bisect_right(self._ends, start)  # the first token that ends after the start
            if index == len(self._ends):
                return super()._extract_surrounding_words(nlp_artifacts, word, start)
            # As many keywords on either side, and one more: the token itself is looked at in both directions.
            before = bisect_right(self._places, index)
            after = bisect_right(self._places, index - 1)
            backward = self._keywords[max(before - self.context_prefix_count - 1, 0) : before]
            forward = self._keywords[after : after + self.context_suffix_count + 1]
            return list({word for _, word in backward + forward})

    return LinearEnhancer()


def make_strict(recognizer: Any) -> None:
    """Make the patterns of a `PatternRecognizer` raise where Presidio would continue without them."""
    recognizer.patterns = [copy.copy(pattern) for pattern in recognizer.patterns]  # Presidio's own are shared
    recognizer.analyze("", recognizer.supported_entities)  # compiles them
    for pattern in recognizer.patterns:
        if pattern.compiled_regex is not None:  # the recogniser of IBANs compiles its own, which takes linear time
            pattern.compiled_regex = StrictPattern(pattern.compiled_regex)


class StrictPattern:
    """A compiled pattern of a recogniser, which raises when it runs out of time."""

    def __init__(self, pattern: Any) -> None:
        self._pattern = pattern

    def finditer(self, text: str, timeout: float) -> Iterator[Any]:
        """The matches. Raises `TooMuchWorkError` if they take longer than `timeout` seconds."""
        try:
            yield from self._pattern.finditer(text, timeout=timeout)
        except TimeoutError as error:
            raise TooMuchWorkError("characters for a pattern") from error
