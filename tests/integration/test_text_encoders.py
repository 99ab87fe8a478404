"""Contract: BERT-like and CLIP-like encoders in the hub's layout condition MSDM alike."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5EncoderModel,
)

from msdm_core.errors import CheckpointError
from msdm_core.msdm.loading import load_component
from msdm_core.msdm.pipeline import MSDMPipeline
from msdm_core.msdm.presets import build_denoiser, build_scheduler
from msdm_core.msdm.text_encoder import encode_text, load_text_encoder, text_width
from tests.tiny_model import TINY

PROMPTS = ["a polyp", "ulcerative colitis in the lower right, no instrument, a green box"]
WORDS = "a polyp ulcerative colitis in the lower right no instrument green box".split()
WIDTH = 24


def write_bert(folder: Path) -> Path:
    """Writes the files of a BERT on the hub: config, weights, vocab.txt."""
    torch.manual_seed(0)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", *dict.fromkeys(WORDS)]
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def _write_byte_pairs(folder: Path, specials: list[str], ending: str) -> int:
    """Writes vocab.json and merges.txt that know letters and two merges; returns the size."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [","]
    merges = [("p", "o"), ("l", "y")]
    pieces = specials + letters + [f"{letter}{ending}" for letter in letters if ending]
    pieces += ["".join(pair) for pair in merges] + ["\u0120"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(vocabulary)


def _clip_text_config(size: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=size,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=77,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        projection_dim=16,
    )


def _write_clip_tokenizer(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    size = _write_byte_pairs(folder, ["<|startoftext|>", "<|endoftext|>"], "</w>")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return size


def write_clip(folder: Path) -> Path:
    """Writes the files of a whole CLIP on the hub, both towers, as PubMedCLIP has them."""
    torch.manual_seed(0)
    text = _clip_text_config(_write_clip_tokenizer(folder))
    vision = CLIPVisionConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=16, projection_dim=16,
    )  # fmt: skip
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16
    )
    CLIPModel(config).save_pretrained(folder)
    return folder


def write_clip_text(folder: Path) -> Path:
    """Writes a CLIP text tower alone."""
    torch.manual_seed(0)
    CLIPTextModel(_clip_text_config(_write_clip_tokenizer(folder))).save_pretrained(folder)
    return folder


def write_roberta(folder: Path) -> Path:
    """Writes the files of a RoBERTa on the hub, whose positions begin at 2."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    size = _write_byte_pairs(folder, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "")
    config = RobertaConfig(
        vocab_size=size,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=80,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    RobertaModel(config).save_pretrained(folder)
    settings = {"tokenizer_class": "RobertaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {
    "bert": write_bert,
    "clip": write_clip,
    "clip text tower": write_clip_text,
    "roberta": write_roberta,
}


@pytest.fixture(scope="module", params=sorted(WRITERS))
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = WRITERS[request.param](tmp_path_factory.mktemp("hub") / "encoder")
    return load_text_encoder(str(folder))


def assemble(checkpoint: Path, tokenizer: Any, model: Any) -> MSDMPipeline:
    torch.manual_seed(0)
    pipeline = MSDMPipeline(
        vae=load_component(checkpoint, "vae"),
        text_encoder=model,
        tokenizer=tokenizer,
        unet=build_denoiser(TINY, text_width(model)).eval(),
        scheduler=build_scheduler(TINY),
        default_steps=2,
        image_px=TINY.image_px,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: MSDMPipeline, prompt: str) -> np.ndarray:
    generator = torch.Generator("cpu").manual_seed(7)
    return pipeline(prompt, generator=generator, output_type="np").images


def test_the_encoder_comes_frozen_and_in_eval_mode(encoder: Any) -> None:
    _, model = encoder
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert text_width(model) == WIDTH


def test_words_are_told_apart(encoder: Any) -> None:
    """A tokenizer that lost its vocabulary would make every word the same unknown."""
    states = encode_text(*encoder, ["polyp", "colitis"], 32)
    assert (states.pooled[0] - states.pooled[1]).abs().max() > 1e-3


def test_padding_changes_neither_tokens_nor_their_mean(encoder: Any) -> None:
    alone = encode_text(*encoder, PROMPTS[:1], 32)
    padded = encode_text(*encoder, PROMPTS, 32)
    length = int(alone.mask.sum())
    assert padded.mask[0].sum() == length < padded.mask.shape[1]
    torch.testing.assert_close(padded.tokens[0, :length], alone.tokens[0, :length])
    torch.testing.assert_close(padded.pooled[0], alone.pooled[0])
    torch.testing.assert_close(alone.pooled[0], alone.tokens[0, :length].mean(dim=0))


def test_long_text_is_cut_at_the_smaller_limit(encoder: Any) -> None:
    long = ["polyp " * 300]
    assert encode_text(*encoder, long, 16).mask.shape[1] == 16
    most = encode_text(*encoder, long, 10_000).mask.shape[1]
    assert 16 < most <= encoder[1].config.max_position_embeddings


def test_an_empty_prompt_has_states(encoder: Any) -> None:
    states = encode_text(*encoder, [""], 32)
    assert torch.isfinite(states.pooled).all() and states.mask.sum() >= 1


def test_the_encoder_conditions_the_pipeline_and_travels_with_it(
    encoder: Any, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    pipeline = assemble(tiny_checkpoint, *encoder)
    first, other = (draw(pipeline, prompt) for prompt in PROMPTS)
    assert np.abs(first - other).max() > 1e-3
    pipeline.save_pretrained(tmp_path / "saved")
    again = MSDMPipeline.from_pretrained(tmp_path / "saved")
    again.set_progress_bar_config(disable=True)
    assert np.array_equal(draw(again, PROMPTS[0]), first)


def test_an_encoder_loads_from_a_pipeline_folder_too(tiny_checkpoint: Path) -> None:
    tokenizer, model = load_text_encoder(str(tiny_checkpoint))
    whole = MSDMPipeline.from_pretrained(tiny_checkpoint)
    expected = whole.encode_prompt(PROMPTS)
    found = encode_text(tokenizer, model, PROMPTS, TINY.text_tokens)
    assert torch.equal(found.pooled, expected.pooled)


def test_an_encoder_saved_in_half_precision_comes_back_in_single(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "half")
    BertModel.from_pretrained(folder).half().save_pretrained(folder)
    _, model = load_text_encoder(str(folder))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def write_t5(folder: Path) -> Path:
    config = T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder)
    return folder


def write_gpt2(folder: Path) -> Path:
    folder.mkdir(parents=True)
    size = _write_byte_pairs(folder, ["<|endoftext|>"], "")
    GPT2LMHeadModel(
        GPT2Config(vocab_size=size, n_embd=8, n_layer=1, n_head=2, n_positions=32,
                   bos_token_id=0, eos_token_id=0)
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("write", "kind"), [(write_t5, "t5"), (write_gpt2, "gpt2")], ids=["t5", "gpt2"]
)
def test_a_foreign_kind_of_model_is_refused_by_its_name(
    tmp_path: Path, write: Callable[[Path], Path], kind: str
) -> None:
    with pytest.raises(CheckpointError, match=rf"'{kind}'.*BERT-like and CLIP-like"):
        load_text_encoder(str(write(tmp_path / "foreign")))


def test_the_text_encoder_of_a_foreign_pipeline_is_no_image_model(tiny_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="text encoder"):
        load_text_encoder(str(tiny_checkpoint / "unet"))


@pytest.mark.parametrize("damage", ["empty folder", "no weights", "truncated", "no tokenizer"])
def test_an_incomplete_folder_is_refused_with_what_it_needs(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "encoder"
    if damage == "empty folder":
        folder.mkdir()
    else:
        write_bert(folder)
    weights = folder / "model.safetensors"
    if damage == "no weights":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:2000])
    elif damage == "no tokenizer":
        (folder / "vocab.txt").unlink()
        (folder / "tokenizer_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"encoder.*tokenizer files"):
        load_text_encoder(str(folder))


def test_a_hub_id_that_is_not_here_says_what_to_do_offline() -> None:
    with pytest.raises(CheckpointError, match=r"(?s)nobody/no-such-encoder.*while online"):
        load_text_encoder("nobody/no-such-encoder")
