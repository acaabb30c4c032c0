"""What a column can be copied as: the command that draws and scores the same sample, and a script for plain transformers."""

import hashlib
import json
import shlex
from typing import Any

from phf.models.vocabulary import end_ids, ids_without_token
from phf.playground.request import Column, Request
from phf.playground.site import Site


def as_command(site: Site, request: Request, column: Column) -> str | None:
    """`phf evaluate` on the same prompt, seed and settings, for a POSIX shell; None if the task is not known.

    The sample and its scores are the same as on the page, on the same kind of device.
    """
    if not site.has_task:
        return None
    scenario: dict[str, Any] = {
        "name": "playground",
        "num_samples": 1,
        "generate_kwargs": request.generate_kwargs(),
        "use_prompt_for_scoring": request.scores_prompt,
    }
    if column.way.prefix is not None:
        scenario["prefix"] = column.way.prefix
    if column.way.is_guided:
        scenario["guidance_scale"] = request.guidance_scale
    commands, prompt_file = [], f"playground-{_digest(request.prompt)}.jsonl"
    if request.prompt:
        scenario["prompts_path"] = prompt_file
        line = json.dumps({"text": request.prompt})
        commands.append(f"printf '%s\\n' {shlex.quote(line)} > {prompt_file}")
    overrides = {"generation.scenario_configs": json.dumps([scenario]), "training.seed": str(request.seed)}
    if site.scorer is not None:
        overrides["generation.scorer_config"] = json.dumps(
            {"class_name": site.scorer.name, **site.scorer.settings}, default=str
        )
    arguments = ["phf", "evaluate", column.model.given, *site.task_arguments, "--only", "generation"]
    arguments += [part for key, value in overrides.items() for part in ("--override", f"{key}={value}")]
    arguments += ["--output", f"runs/playground-{_digest(column.model.given, *overrides.values(), request.prompt)}"]
    return "\n".join([*commands, shlex.join(arguments)])


def as_score_command(site: Site, text: str) -> str | None:
    """`phf score` of a text, segment by segment; None without a scorer."""
    if site.scorer is None:
        return None
    section = json.dumps({"class_name": site.scorer.name, **site.scorer.settings}, default=str)
    return f"printf %b {shlex.quote(_escaped(text))} | {shlex.join(['phf', 'score', '-', '--scorer', section])}"


def _escaped(text: str) -> str:
    """`text` for `printf %b`, on one line: nothing that cannot be seen is pasted into a terminal."""
    kept = (character if character.isprintable() and character != "\\" else None for character in text)
    pairs = zip(text, kept, strict=True)
    return "".join(
        one if one is not None else "".join(f"\\0{byte:03o}" for byte in original.encode()) for original, one in pairs
    )


def as_python(request: Request, column: Column) -> str:
    """A script that samples from the same distribution with nothing but torch and transformers.

    `model.generate` draws with torch's own random numbers, so its text is another one, except at temperature 0.
    """
    model, way = column.model, column.way
    scenario, tokenizer = request.scenario(column), model.tokenizer
    start = scenario.start_ids(tokenizer)
    banned = sorted({*model.prompting.banned_ids(tokenizer, way.prefix), *ids_without_token(model.lm, tokenizer)})
    settings: dict[str, Any] = {**request.generate_kwargs(), "suppress_tokens": banned or None}
    settings |= {"eos_token_id": end_ids(model.lm, tokenizer), "pad_token_id": tokenizer.pad_token_id}
    (ids,) = scenario.prompt_ids(tokenizer, [request.prompt])
    dtype = str(model.lm.dtype).removeprefix("torch.")
    lines = [
        "import torch",
        "from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig",
        "",
        f"folder = {_literal(str(model.folder.resolve()))}",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        f"model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.{dtype}).eval()",
        "model.generation_config = GenerationConfig()  # nothing but what is set below",
        "",
        f"prompt = {_literal(request.prompt)}",
        *_encoding(tokenizer, request.prompt, ids[len(start) :]),
        f"start = {start}  # {' '.join(tokenizer.convert_ids_to_tokens(start))}",
    ]
    call = [f"    {key}={value!r}," for key, value in settings.items() if value is not None]
    if way.is_guided and request.guidance_scale != 1:
        away = request.scenario(column).model_copy(update={"prefix": model.prompting.away_from(way.prefix)})
        away_start = away.start_ids(tokenizer)
        lines.append(f"away = {away_start}  # {' '.join(tokenizer.convert_ids_to_tokens(away_start))}")
        call += [
            f"    guidance_scale={request.guidance_scale!r},",
            "    negative_prompt_ids=torch.tensor([away + prompt_ids]),",
        ]
    lines += [
        "",
        f"torch.manual_seed({request.seed})",
        "ids = torch.tensor([start + prompt_ids])",
        "output = model.generate(",
        "    ids,",
        "    attention_mask=torch.ones_like(ids),",
        *call,
        ")",
        "print(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False))",
    ]
    return "\n".join(lines) + "\n"


def _encoding(tokenizer: Any, prompt: str, ids: list[int]) -> list[str]:
    """Lines that encode the prompt as text only; the ids themselves where the tokenizer's own call gives others."""
    own = tokenizer(prompt, add_special_tokens=False, split_special_tokens=True).input_ids if prompt else []
    if own != ids:
        return [f"prompt_ids = {ids}  # as text only, which this tokenizer does not offer"]
    if not prompt:
        return ["prompt_ids = []"]
    return [
        "prompt_ids = tokenizer(prompt, add_special_tokens=False, split_special_tokens=True).input_ids  # text only"
    ]


def _literal(text: str) -> str:
    """A string literal in ASCII."""
    return ascii(text)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
