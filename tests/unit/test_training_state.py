"""Contract: a training checkpoint comes back bit for bit, and is written whole or not at all."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from msdm_core.errors import CheckpointError
from msdm_core.training.state import (
    KEPT_CHECKPOINTS,
    flatten_optimizer,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
    unflatten_optimizer,
)


def tensors(value: float = 1.0) -> dict[str, dict[str, torch.Tensor]]:
    return {"net.model": {"weight": torch.full((2, 3), value), "steps": torch.tensor(7)}}


def trained(seed: int = 0) -> tuple[torch.nn.Module, torch.optim.Adam]:
    torch.manual_seed(seed)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.99))
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, 12, tensors(0.1), {"samples": 48})
    found, state = load_checkpoint(folder)
    assert state == {"step": 12, "samples": 48}
    for name, value in tensors(0.1)["net.model"].items():
        assert torch.equal(found["net.model"][name], value)
        assert found["net.model"][name].dtype == value.dtype


def test_an_optimizer_goes_on_as_if_it_had_never_been_saved(tmp_path: Path) -> None:
    model, optimizer = trained()
    flat, rest = flatten_optimizer(optimizer.state_dict())
    folder = save_checkpoint(tmp_path, 3, {"net.optimizer": flat}, {"rest": rest})
    found, state = load_checkpoint(folder)
    other = torch.nn.Linear(3, 2)
    other.load_state_dict(model.state_dict())
    resumed = torch.optim.Adam(other.parameters(), lr=9.9)
    resumed.load_state_dict(unflatten_optimizer(found["net.optimizer"], state["rest"]))
    for network, stepper in ((model, optimizer), (other, resumed)):
        stepper.zero_grad()
        network(torch.ones(1, 3)).sum().backward()
        stepper.step()
    assert resumed.param_groups[0]["lr"] == 1e-2
    assert torch.equal(model.weight, other.weight) and torch.equal(model.bias, other.bias)


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 100):
        save_checkpoint(tmp_path, step, tensors(step), {})
    names = [folder.name for folder in list_checkpoints(tmp_path)]
    assert names == ["step-00000010", "step-00000100"]
    assert len(names) == KEPT_CHECKPOINTS


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 5, tensors(1.0), {})
    save_checkpoint(tmp_path, 5, tensors(2.0), {})
    found, _ = load_checkpoint(list_checkpoints(tmp_path)[-1])
    assert found["net.model"]["weight"].unique().tolist() == [2.0]


def test_what_a_kill_left_half_written_is_no_checkpoint_and_does_not_stay(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 5, tensors(), {})
    half = tmp_path / ".partial-00000010"
    half.mkdir()
    (half / "net.model.safetensors").write_bytes(b"half")
    unfinished = tmp_path / "step-00000009"
    unfinished.mkdir()
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["step-00000005"]
    save_checkpoint(tmp_path, 10, tensors(), {})
    assert not half.exists()
    assert load_checkpoint(list_checkpoints(tmp_path)[-1])[1]["step"] == 10


def test_a_failed_write_leaves_the_old_checkpoints_alone(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 5, tensors(), {})
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, 10, tensors(), {"not": object()})
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["step-00000005"]


@pytest.mark.parametrize("damage", ["truncated", "no json", "not json"])
def test_a_damaged_checkpoint_is_named_with_the_way_out(tmp_path: Path, damage: str) -> None:
    folder = save_checkpoint(tmp_path, 5, tensors(), {})
    weights, state = folder / "net.model.safetensors", folder / "state.json"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-4])
    elif damage == "no json":
        state.unlink()
    else:
        state.write_text('{"step": 5', encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"step-00000005.*Delete that folder"):
        load_checkpoint(folder)


def test_no_checkpoint_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert list_checkpoints(tmp_path / "none") == []


def test_a_checkpoint_holds_safetensors_and_json_alone(tmp_path: Path) -> None:
    _, optimizer = trained()
    flat, rest = flatten_optimizer(optimizer.state_dict())
    folder = save_checkpoint(tmp_path, 1, {"net.optimizer": flat}, {"rest": rest})
    assert sorted(path.name for path in folder.iterdir()) == [
        "net.optimizer.safetensors",
        "state.json",
    ]
    assert load_file(folder / "net.optimizer.safetensors").keys() == flat.keys()
    assert json.loads((folder / "state.json").read_text(encoding="utf-8"))["step"] == 1


def test_transposed_weights_are_saved_as_they_read(tmp_path: Path) -> None:
    value = torch.arange(6.0).reshape(2, 3).T
    found, _ = load_checkpoint(save_checkpoint(tmp_path, 1, {"a": {"w": value}}, {}))
    assert torch.equal(found["a"]["w"], value)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        save_checkpoint(tmp_path / "file" / "checkpoints", 1, tensors(), {})
