"""The page, made with Gradio: controls, and one piece of HTML with all columns that is replaced while they are written."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phf.errors import MissingExtraError, PhfError
from phf.playground.answers import answers
from phf.playground.cards import cards, problem, status
from phf.playground.request import (
    MAX_GUIDANCE,
    MAX_PROMPT_CHARS,
    MAX_SEED,
    MAX_TEMPERATURE,
    MAX_TOP_K,
    default_new_tokens,
    most_new_tokens,
    read_request,
)
from phf.playground.site import Site

if TYPE_CHECKING:
    import gradio

MAX_WAITING = 8
"""Requests that may wait for the one that is answered; more are refused."""
CONTROLS = ("temperature", "top_p", "top_k", "max_new_tokens", "guidance_scale", "seed")
HELP = (
    "Every column continues the prompt in one way. Segments with a score above the threshold are marked; point at one to see "
    "its score."
)


class Answering:
    """Answers requests one after the other; `num_running` is the number of those that are being answered."""

    def __init__(self, site: Site, max_seconds: float) -> None:
        self.site, self.max_seconds, self.num_running = site, max_seconds, 0
        self._lock = threading.Lock()

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
                yield cards(self.site, request, state), status(state)
        except PhfError as error:
            yield problem(str(error)), ""
        finally:
            self._count(-1)

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
        writing = start.click(
            answering.answer,
            [prompt, *groups, *controls],
            [shown, line],
            show_progress="hidden",
            concurrency_limit=1,
            concurrency_id="models",
            trigger_mode="once",
            api_visibility="private",
        )
        stop.click(None, None, line, js="() => 'Stopped'", cancels=[writing], api_visibility="private")
    page.queue(max_size=MAX_WAITING, api_open=False)
    return page
