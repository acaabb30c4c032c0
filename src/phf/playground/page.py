"""The page, made with Gradio: controls, and one piece of HTML with all columns that is replaced while they are written."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phf.errors import ConfigError, MissingExtraError, PhfError
from phf.playground.answers import Answer, answers
from phf.playground.cards import cards, problem, status
from phf.playground.origins import Search, search
from phf.playground.request import (
    MAX_GUIDANCE,
    MAX_PROMPT_CHARS,
    MAX_SEED,
    MAX_TEMPERATURE,
    MAX_TOP_K,
    Request,
    default_new_tokens,
    most_new_tokens,
    read_request,
)
from phf.playground.site import Site

if TYPE_CHECKING:
    import gradio

MAX_WAITING = 8
"""Requests that may wait for the one that is answered; more are refused."""
MAX_KEPT = 16
"""Answers that are kept, so that it can be asked where they come from."""
CONTROLS = ("temperature", "top_p", "top_k", "max_new_tokens", "guidance_scale", "seed")
HELP = (
    "Every column continues the prompt in one way. Segments with a score above the threshold are marked; point at one to see "
    "its score."
)


@dataclass(frozen=True)
class _Kept:
    """Finished columns."""

    request: Request
    answers: list[Answer]
    searches: dict[int, Search] = field(default_factory=dict)
    """By column, those that were asked for."""


class Answering:
    """Answers requests one after the other; `num_running` is the number of those that are being answered."""

    def __init__(self, site: Site, max_seconds: float) -> None:
        self.site, self.max_seconds, self.num_running = site, max_seconds, 0
        self._lock = threading.Lock()
        self._kept: dict[int, _Kept] = {}
        self._numbers = count()

    def answer(self, prompt: Any, *values: Any) -> Iterator[tuple[str, str]]:
        """(columns, status) as HTML and text, again and again. Closing it stops the models."""
        keys, controls = values[: len(self.site.models)], values[len(self.site.models) :]
        chosen = [key for of_model in keys for key in of_model or []]
        self._count(1)
        try:
            request = read_request(
                self.site, {"prompt": prompt, "columns": chosen, **dict(zip(CONTROLS, controls, strict=True))}
            )
            for state in answers(self.site, request, max_seconds=self.max_seconds):
                key = self._keep(request, state) if all(one.is_finished for one in state) else None
                yield cards(self.site, request, state, key), status(state)
        except PhfError as error:
            yield problem(str(error)), ""
        finally:
            self._count(-1)

    def trace(self, asked: Any) -> Iterator[tuple[str, str]]:
        """The columns with where one of them comes from, again and again. `asked`: 'ANSWERS:COLUMN', as `cards` wrote it."""
        self._count(1)
        try:
            key, kept, column = self._asked(asked)
            answer = kept.answers[column]
            data = answer.column.model.data
            assert data is not None
            for state in search(data, kept.request.prompt, answer, max_seconds=self.max_seconds):
                kept.searches[column] = state
                is_finished = state.origin is not None or state.problem is not None
                line = "Searched" if is_finished else f"Searching the data, {state.seconds:.0f} s"
                yield cards(self.site, kept.request, kept.answers, key, kept.searches), line
        except PhfError as error:
            yield problem(str(error)), ""
        finally:
            self._count(-1)

    def _keep(self, request: Request, state: list[Answer]) -> int:
        key = next(self._numbers)
        self._kept[key] = _Kept(request, state)
        self._kept.pop(key - MAX_KEPT, None)
        return key

    def _asked(self, asked: Any) -> tuple[int, "_Kept", int]:
        """(key, answers, column). Raises `ConfigError` for what is not there."""
        match = re.fullmatch(r"(\d{1,12}):(\d{1,2})", asked) if isinstance(asked, str) else None
        key, column = (int(part) for part in match.groups()) if match else (-1, 0)
        kept = self._kept.get(key)
        if kept is None or column >= len(kept.answers) or kept.answers[column].column.model.data is None:
            raise ConfigError(f"This text is no longer kept; the last {MAX_KEPT} answers are. Write it again.")
        return key, kept, column

    def _count(self, change: int) -> None:
        with self._lock:
            self.num_running += change


def build_page(site: Site, answering: Answering) -> "gradio.Blocks":
    """The page. Raises `MissingExtraError` without Gradio."""
    try:
        import gradio as gr
    except ImportError as error:
        raise MissingExtraError("phf playground", "gradio", "playground") from error
    own = site.scenario.generate_kwargs
    is_guided = any(way.is_guided for model in site.models for way in model.ways)
    with gr.Blocks(analytics_enabled=False, title="phf playground", fill_width=True) as page:
        gr.HTML(f"<h1>phf playground</h1><p class='note'>{HELP}</p>", elem_id="head")
        prompt = gr.Textbox(
            label="Prompt", lines=3, max_lines=12, max_length=MAX_PROMPT_CHARS, placeholder="Empty: from the start"
        )
        with gr.Row(equal_height=False):
            groups = [
                gr.CheckboxGroup(
                    choices=[(way.label, f"{number}:{place}") for place, way in enumerate(model.ways)],
                    value=[f"{number}:{model.ways.index(way)}" for way in model.selected],
                    label=model.name,
                    min_width=260,
                )
                for number, model in enumerate(site.models)
            ]
        with gr.Row():
            controls = [
                gr.Slider(
                    0,
                    MAX_TEMPERATURE,
                    own.get("temperature", 1.0),
                    step=0.05,
                    label="Temperature",
                    info="0: likeliest",
                    min_width=300,
                ),
                gr.Slider(
                    0.01, 1, own.get("top_p", 1.0), step=0.01, label="Top-p", info="1: all tokens", min_width=300
                ),
                gr.Slider(
                    0, MAX_TOP_K, own.get("top_k", 0), step=1, label="Top-k", info="0: all tokens", min_width=300
                ),
                gr.Slider(
                    1,
                    most_new_tokens(site),
                    default_new_tokens(site),
                    step=1,
                    label="Length",
                    info="tokens, at most",
                    min_width=300,
                ),
                gr.Slider(
                    0, MAX_GUIDANCE, 2.0, step=0.1, label="Guidance", info="1: none", visible=is_guided, min_width=300
                ),
                gr.Number(
                    0,
                    minimum=0,
                    maximum=MAX_SEED,
                    precision=0,
                    label="Seed",
                    info="same seed, same text",
                    min_width=300,
                ),
            ]
        with gr.Row():
            start = gr.Button("Write", variant="primary", elem_id="start")
            stop = gr.Button("Stop", elem_id="stop")
        line = gr.HTML(elem_id="status", js_on_load="element.setAttribute('role', 'status')")
        shown = gr.HTML(
            elem_id="columns",
            apply_default_css=False,
            js_on_load=(Path(__file__).parent / "page.js").read_text(encoding="utf-8"),
        )
        one_at_a_time: dict[str, Any] = {
            "show_progress": "hidden",
            "concurrency_limit": 1,
            "concurrency_id": "models",
            "trigger_mode": "once",
            "api_visibility": "private",
        }
        writing = start.click(
            answering.answer,
            [prompt, *groups, *controls],
            [shown, line],
            **one_at_a_time,
        )

        def trace(event: gr.EventData) -> Iterator[tuple[str, str]]:
            yield from answering.trace(getattr(event, "key", None))

        tracing = shown.click(
            trace,
            None,
            [shown, line],
            **one_at_a_time,
        )
        stop.click(None, None, line, js="() => 'Stopped'", cancels=[writing, tracing], api_visibility="private")
    page.queue(max_size=MAX_WAITING, api_open=False)
    return page
