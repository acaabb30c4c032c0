"""Checkpoints of the released system: loaded with value head and control tokens, exported, and refused where damaged."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from tests.released_checkpoints import CONTROL, WIDTH, released_checkpoint, released_weights, write_weights
from transformers import AutoModelForCausalLM, AutoTokenizer

from phf.errors import ConfigError, CorpusError, OutputError
from phf.feedback import Prompting
from phf.models import has_value_head, load_value_head, pretrained_lm, prompting_of, stored_value_head
from phf.models.exporting.convert import export_folder
from phf.models.model_folder import find_model, is_of_released_system, load_folder_tokenizer, model_name


class Intruder:
    def __reduce__(self):
        return pytest.fail, ("the file was run",)


def hub_cache(root, monkeypatch):
    """A folder that `huggingface_hub` takes for its cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(root))
    return root


def cached_on_hub(root, name, revision="main"):
    """A released checkpoint in the Hub's cache, as if downloaded."""
    commit = "9e6c78543a6ff1e4089002c38864d5a9cf71ec90"
    repository = root / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / revision).write_text(commit)
    released_checkpoint(repository / "snapshots" / commit)
    return repository / "snapshots" / commit


def test_weights_value_head_and_control_tokens_are_all_read(tmp_path, caplog):
    lm = released_checkpoint(tmp_path / "m")
    loaded = pretrained_lm(str(tmp_path / "m"), "MODEL")
    ids = torch.tensor([[0, 5, 6, 7]])
    assert torch.equal(loaded.eval()(ids).logits, lm.eval()(ids).logits)
    assert not [record for record in caplog.records if record.name.startswith("phf")]
    head = load_value_head(tmp_path / "m", loaded)
    hidden = torch.randn(1, 3, WIDTH)
    expected = -torch.sigmoid(hidden @ torch.linspace(-2, 2, WIDTH))
    assert torch.allclose(head(hidden), expected, atol=1e-6)
    prompting = prompting_of(tmp_path / "m", load_folder_tokenizer(tmp_path / "m"))
    assert (prompting.prefix, prompting.banned(prompting.prefix)) == (CONTROL[0], CONTROL)
    assert is_of_released_system(tmp_path / "m")


def test_a_checkpoint_of_another_method_has_neither(tmp_path):
    lm = released_checkpoint(tmp_path / "m", conditional=False, head=False)
    assert prompting_of(tmp_path / "m", load_folder_tokenizer(tmp_path / "m")) == Prompting()
    assert not has_value_head(tmp_path / "m")
    with pytest.raises(ConfigError, match="only models trained with AWR have a value head"):
        load_value_head(tmp_path / "m", lm)


@pytest.mark.parametrize("sharded", [False, True])
def test_a_value_head_among_safetensors_is_found_too(sharded, tmp_path):
    from safetensors.torch import save_file

    weights = {"value_head.head.weight": torch.ones(1, WIDTH)}
    name = "model-00002-of-00002.safetensors" if sharded else "model.safetensors"
    save_file(weights, tmp_path / name)
    if sharded:
        index = {"weight_map": {"value_head.head.weight": name, "lm_head.weight": "model-00001-of-00002.safetensors"}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    head = stored_value_head(str(tmp_path), WIDTH)
    assert torch.equal(head.linear.weight, torch.ones(1, WIDTH))


def test_a_file_of_an_old_torch_is_read(tmp_path):
    torch.save(
        {"value_head.head.weight": torch.ones(1, WIDTH)},
        tmp_path / "pytorch_model.bin",
        _use_new_zipfile_serialization=False,
    )
    assert torch.equal(stored_value_head(str(tmp_path), WIDTH).linear.weight, torch.ones(1, WIDTH))


def test_the_export_is_plain_and_keeps_everything(tmp_path):
    lm = released_checkpoint(tmp_path / "m")
    export_folder(tmp_path / "m", tmp_path / "out", threshold=0.25, tags_every_segment=True)
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()).count(".safetensors") == 1
    assert not (tmp_path / "out" / "pytorch_model.bin").exists()
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = torch.tensor([[0, 5, 6, 7]])
    assert torch.equal(plain.eval()(ids).logits, lm.eval()(ids).logits)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    aligned, misaligned = tokenizer.convert_tokens_to_ids(list(CONTROL))
    assert tokenizer("def").input_ids[:2] == [0, aligned]
    assert plain.generation_config.suppress_tokens == [misaligned]
    prompting = Prompting.load(tmp_path / "out")
    assert (prompting.threshold, prompting.tags_every_segment, tuple(prompting.control_tokens)) == (0.25, True, CONTROL)
    hidden = torch.randn(1, 2, WIDTH)
    heads = [load_value_head(tmp_path / name, lm)(hidden) for name in ("m", "out")]
    assert torch.equal(*heads)


def test_an_export_is_exported_again_unchanged(tmp_path):
    released_checkpoint(tmp_path / "m")
    export_folder(tmp_path / "m", tmp_path / "one", threshold=0.25)
    export_folder(tmp_path / "one", tmp_path / "two")
    for name in ("phf.json", "model.safetensors", "generation_config.json", "tokenizer.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_exports_that_make_no_sense_are_refused(tmp_path):
    released_checkpoint(tmp_path / "m", conditional=False)
    with pytest.raises(ConfigError, match="has no control tokens, so --threshold has no effect"):
        export_folder(tmp_path / "m", tmp_path / "out", threshold=0.5)
    export_folder(tmp_path / "m", tmp_path / "out")
    with pytest.raises(OutputError, match="out exists"):
        export_folder(tmp_path / "m", tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("transformer.h.1.mlp.c_fc.weight"), r"transformer\.h\.1\.mlp\.c_fc\.weight is not in '.*m'"),
        (lambda w: w.update({"transformer.h.2.ln_1.bias": torch.zeros(WIDTH)}), r"transformer\.h\.2\.ln_1\.bias is in"),
        (
            lambda w: w.update({"transformer.wpe.weight": torch.zeros(9, WIDTH)}),
            rf"transformer\.wpe\.weight has the shape \[9, {WIDTH}\]",
        ),
        (
            lambda w: w.update(intruder=Intruder()),
            r"its weights are damaged or contain more than tensors, and data that could run code is not read\. Restore it",
        ),
    ],
    ids=["missing", "extra", "misshapen", "code"],
)
def test_damaged_weights_are_named_and_code_is_not_run(change, message, tmp_path):
    lm = released_checkpoint(tmp_path / "m")
    weights = released_weights(lm)
    change(weights)
    write_weights(tmp_path / "m", weights)
    with pytest.raises(ConfigError, match=message):
        pretrained_lm(str(tmp_path / "m"), "MODEL")
    with pytest.raises(ConfigError, match=message):
        export_folder(tmp_path / "m", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shape", [(1, WIDTH + 1), (2, WIDTH), (WIDTH,)])
def test_a_misshapen_value_head_is_named(shape, tmp_path):
    lm = released_checkpoint(tmp_path / "m")
    write_weights(tmp_path / "m", released_weights(lm) | {"value_head.head.weight": torch.zeros(shape)})
    message = rf"value_head\.head\.weight has the shape \[{', '.join(map(str, shape))}\], but .* \[1, {WIDTH}\]"
    with pytest.raises(ConfigError, match=message):
        load_value_head(tmp_path / "m", lm)


@pytest.mark.parametrize("head", ["text", torch.ones(1, WIDTH, dtype=torch.int64)], ids=["text", "integers"])
def test_a_value_head_that_is_not_a_tensor_of_real_numbers_is_named(head, tmp_path):
    torch.save({"value_head.head.weight": head}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"value_head\.head\.weight is not a tensor of real numbers"):
        stored_value_head(str(tmp_path), WIDTH)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"weight_map": ["value_head.head.weight"]}', '{"weight_map": {"a": 1}}']
)
def test_a_damaged_list_of_weights_is_named(content, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ConfigError, match=r"model\.safetensors\.index\.json"):
        stored_value_head(str(tmp_path), WIDTH)
    assert not has_value_head(tmp_path)


def test_pickled_code_in_the_file_of_the_value_head_is_not_run(tmp_path):
    for content in (pickle.dumps(Intruder(), protocol=2), b"", b"text"):
        (tmp_path / "pytorch_model.bin").write_bytes(content)
        with pytest.raises(ConfigError, match=r"pytorch_model\.bin cannot be read"):
            stored_value_head(str(tmp_path), WIDTH)


def test_a_hub_model_is_found_by_name_and_revision(tmp_path, monkeypatch):
    snapshot = cached_on_hub(hub_cache(tmp_path, monkeypatch), "someone/hungry_saha", "halfway")
    monkeypatch.chdir(tmp_path)
    snapshot_folder = find_model(Path("someone/hungry_saha@halfway"))
    assert snapshot_folder == snapshot
    assert model_name(snapshot_folder) == "hungry_saha"
    assert has_value_head(snapshot_folder)
    for missing in ("someone/hungry_saha@nowhere", "someone/else"):
        with pytest.raises(CorpusError, match=rf"^{missing} is not a folder here.*give a local folder"):
            find_model(Path(missing))
    (tmp_path / "someone").mkdir()
    with pytest.raises(CorpusError, match="nothing has that name"):
        find_model(Path("someone/hungry_saha@halfway"))
