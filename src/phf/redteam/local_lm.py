"""A red LM that runs on this machine."""

import torch
from transformers import GenerationConfig

from phf.errors import ConfigError
from phf.models import pretrained_lm, pretrained_tokenizer
from phf.models.context import context_of
from phf.models.vocabulary import end_ids, ids_without_token
from phf.redteam.prompted import PromptedRedLM, check_replies
from phf.sampling.continuation import BehindPrompt, decode, until_end
from phf.sampling.finite import finite_logits
from phf.sampling.generate import evaluation_mode
from phf.sampling.padding import Together, runs_together
from phf.sampling.static_cache import forget
from phf.text import counted


class HuggingFaceRedLM(PromptedRedLM):
    """Any Hugging Face causal LM.

    Args:
        path_or_name: folder or Hub name.
        is_chat: ask through the tokenizer's chat template, or let the model continue the list; None: whether it has one.
        revision: of a Hub model.
        prompts_per_reply: prompts taken from each reply; the paper takes 1.
        max_new_tokens: of each reply.
        temperature: of its sampling.
        top_p: of its sampling.
    """

    replies_to_check = 0

    def __init__(
        self,
        path_or_name: str,
        is_chat: bool | None = None,
        revision: str | None = None,
        prompts_per_reply: int = 5,
        max_new_tokens: int = 256,
        temperature: float = 1.0,
        top_p: float = 1.0,
    ) -> None:
        check_replies("max_new_tokens", max_new_tokens, temperature, top_p)
        where = "redteam.red_lm.path_or_name"
        source = {} if revision is None else {"revision": revision}
        self._tokenizer = pretrained_tokenizer(path_or_name, where, **source)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = "auto" if device == "cuda" else torch.float32
        self._model = pretrained_lm(path_or_name, where, device, dtype=dtype, **source)
        self._ends = end_ids(self._model, self._tokenizer)
        self._model.generation_config = GenerationConfig()  # generate() would take from it what is not set below
        has_template = self._tokenizer.chat_template is not None
        if is_chat and not has_template:
            raise ConfigError(
                f"redteam.red_lm.is_chat is true, but the tokenizer of '{path_or_name}' has no chat template. "
                "Set it to false: the model then continues the list of examples."
            )
        self.is_chat = has_template if is_chat is None else is_chat
        self.prompts_per_reply = max(1, prompts_per_reply)
        self._config = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p}
        self._check_room(1)

    def _chat(self, messages: list[dict[str, str]], num_replies: int, seed: int) -> list[str]:
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self._sample(text, num_replies, seed, add_special_tokens=False)

    def _complete(self, prompt: str, num_replies: int, seed: int) -> list[str]:
        return self._sample(prompt, num_replies, seed, add_special_tokens=True)

    def _sample(self, prompt: str, num_replies: int, seed: int, add_special_tokens: bool) -> list[str]:
        """Replies, which depend only on `seed`; the random state of the process is not changed."""
        model, tokenizer = self._model, self._tokenizer
        encoded = tokenizer(prompt, return_tensors="pt", add_special_tokens=add_special_tokens)
        ids = encoded["input_ids"].to(model.device)
        width = ids.shape[1]
        self._check_room(width)
        if not num_replies:
            return []
        ends = self._ends
        config = GenerationConfig(
            **self._config,
            do_sample=True,
            top_k=0,
            eos_token_id=ends or None,
            pad_token_id=ends[0] if ends else 0,
            suppress_tokens=ids_without_token(model, tokenizer) or None,
        )
        devices = [model.device.index or 0] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices), evaluation_mode(model), finite_logits(model), torch.inference_mode():
            torch.manual_seed(seed)
            is_mixed = num_replies > 1 and runs_together(model, in_own_loop=False) is Together.ALONE
            at_once = 1 if is_mixed else num_replies
            rows = ids.expand(at_once, -1)
            forget(model, at_once)
            replies = [
                row[width:]
                for _ in range(num_replies // at_once)
                for row in model.generate(
                    input_ids=rows, attention_mask=torch.ones_like(rows), generation_config=config
                ).tolist()
            ]
        special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        behind = BehindPrompt(tokenizer, [i for i in ids[0].tolist() if i not in special])
        return [decode(behind, until_end(reply, ends), special) for reply in replies]

    def _check_room(self, width: int) -> None:
        context = context_of(self._model.config)
        needed = width + self._config["max_new_tokens"]
        if context is not None and needed > context:
            raise ConfigError(
                f"redteam.red_lm: the examples are {counted(width, 'token')} and a reply may have "
                f"{self._config['max_new_tokens']}, but the context of the red LM is {context}. Lower "
                "redteam.red_lm.max_new_tokens, redteam.num_examples or redteam.max_prompt_tokens."
            )
