"""Contract: a file of prompts is understood whole or refused with everything that is wrong with it;
short names of models mean one model or are refused; a cell has the same name in every run.
"""

import dataclasses
from pathlib import Path

import pytest

from data.manifest import ManifestRow
from msdm_core.errors import CatalogueError, CheckpointError, PromptFileError, RequestError
from msdm_core.generation.batch_cell import plan_batch
from msdm_core.generation.batch_folder import counted_candidates
from msdm_core.generation.catalogue import Catalogue
from msdm_core.generation.model_choice import choose_models
from msdm_core.generation.progress import Progress
from msdm_core.generation.prompt_file import Prompt, parse_seeds, prompt_id, read_prompts
from msdm_core.generation.weights import LoraEntry, WeightsSource

ENTRY = """
[[model]]
id = "{id}"
family = "msdm"
label = "Model {id}"
path = "{path}"
licence = "MIT"
native_size_px = 64
"""


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path) -> str:
    with pytest.raises(PromptFileError) as caught:
        read_prompts(path)
    return str(caught.value)


@pytest.fixture
def catalogue(tmp_path: Path, tiny_checkpoint: Path) -> Catalogue:
    ids = {"none-own": tmp_path / "none", "tiny-a": tiny_checkpoint, "tiny-b": tiny_checkpoint}
    text = "".join(ENTRY.format(id=key, path=path.as_posix()) for key, path in ids.items())
    (tmp_path / "home").mkdir()
    write(tmp_path / "home", "catalogue.toml", text)
    return Catalogue.read(tmp_path / "home")


def test_a_text_file_has_one_prompt_a_line(tmp_path: Path):
    path = write(tmp_path, "p.txt", "\ufeff# a list\na  polyp\r\n\n  ulcer, in the caecum \n")
    assert [prompt.text for prompt in read_prompts(path)] == ["a polyp", "ulcer, in the caecum"]


def test_an_identifier_made_from_the_prompt_stays_when_lines_move(tmp_path: Path):
    first = read_prompts(write(tmp_path, "a.txt", "a polyp\nan ulcer\n"))
    moved = read_prompts(write(tmp_path, "b.txt", "new\nan ulcer\na  polyp\n"))
    assert [first[0].id, first[1].id] == [moved[2].id, moved[1].id]
    assert len({prompt.id for prompt in moved}) == 3


@pytest.mark.parametrize(("name", "separator"), [("p.csv", ","), ("p.tsv", "\t"), ("P.CSV", ",")])
def test_a_table_has_identifiers_seeds_and_columns_of_its_own(
    tmp_path: Path, name: str, separator: str
):
    header = separator.join(["Organ", "prompt", "prompt_id", "seeds"])
    rows = [separator.join(['"colon, left"', '"a ""polyp"""', "001", '"0-2,7"'])]
    rows.append(separator.join(["", "an ulcer", "002", ""]))
    path = write(tmp_path, name, "\n".join([header, *rows]))
    assert read_prompts(path) == (
        Prompt("001", 'a "polyp"', (0, 1, 2, 7), {"Organ": "colon, left"}),
        Prompt("002", "an ulcer", (), {"Organ": ""}),
    )


def test_a_table_needs_only_the_prompts(tmp_path: Path):
    [prompt] = read_prompts(write(tmp_path, "p.csv", "prompt\na polyp\n"))
    assert prompt == Prompt(prompt_id("a polyp"), "a polyp")


def test_everything_wrong_with_a_table_is_told_at_once(tmp_path: Path):
    long = "x" * 2001
    told = refused(
        write(
            tmp_path,
            "p.csv",
            "prompt,prompt_id,seed,steps,note,Note\n"
            "a polyp,1,0,,,\n"
            " ,2,,,,\n"
            f"{long},3,,,,\n"
            "b,1,,,,\n"
            "c,,,,,\n"
            "d,5,4-2,,,\n"
            "e,6\n"
            f"f,{'i' * 65},,,,\n",
        )
    )
    for said in (
        "line 1: has columns twice: note",
        "line 1: has columns that the manifest fills itself: steps",
        "line 3: The prompt is empty",
        "line 4: The prompt has 2,001 characters",
        "line 5: prompt_id '1' stands in line 2 already",
        "line 6: prompt_id is empty",
        "line 7: Seeds cannot be '4-2'",
        "line 8: has 2 fields, expected 6",
        "line 9: prompt_id needs 1 to 64 printable characters",
    ):
        assert said in told
    assert "nothing was drawn" in told


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.csv", "text,id\na,1\n", "lacks the columns prompt"),
        ("p.csv", "prompt;organ\na;b\n", "separated by ';', expected ','"),
        ("p.tsv", "prompt,organ\na,b\n", "separated by ',', expected '\\t'"),
        ("p.csv", "prompt,seed,seeds\na,1,2\n", "both seed and seeds"),
        ("p.csv", "prompt,\na,b\n", "without name"),
        ("p.csv", "prompt\n", "no prompt that can be drawn"),
        ("p.csv", "prompt\na\nb\na\n", "line 4: has the prompt of line 2"),
        ("p.csv", "", "lacks the columns"),
        ("p.csv", "prompt\ncaf\u00e9\n".encode("latin-1"), "line 2: byte 0xe9 is not UTF-8"),
        ("p.csv", "prompt\na\n".encode("utf-16"), "UTF-8"),
        ("p.csv", 'prompt\n"open\n', "cannot be read"),
        ("p.txt", "", "no prompt"),
        ("p.txt", "# only remarks\n", "no prompt"),
        ("p.txt", "a\nb\na\n", "line 3: has the prompt of line 1"),
        ("p.txt", "a\nb\x07c\n", "line 2: The prompt has the control character U+0007"),
        ("p.txt", "ok\ncaf\u00e9\n".encode("latin-1"), "line 2: byte 0xe9"),
        ("p.txt", "a polyp\n".encode("utf-16"), "zero bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: str | bytes, said: str
):
    assert said in refused(write(tmp_path, name, content))


def test_a_long_list_of_faults_is_cut(tmp_path: Path):
    told = refused(write(tmp_path, "p.csv", "prompt,prompt_id\n" + "a,1\n" * 100))
    assert "and 69 more" in told
    assert len(told.splitlines()) == 32


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    assert "none.csv" in refused(tmp_path / "none.csv")
    assert "cannot be opened" in refused(tmp_path / "none.txt")
    assert "cannot be opened" in refused(tmp_path)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", (7,)),
        ("0-4", (0, 1, 2, 3, 4)),
        ("1,5,9-12", (1, 5, 9, 10, 11, 12)),
        (" 3 ; 1 - 2 ", (3, 1, 2)),
        ("4294967295", (4294967295,)),
    ],
)
def test_seeds_are_numbers_and_ranges(text: str, seeds: tuple[int, ...]):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "-1", "4-2", "1.5", "a", "1,,2", "1,1", "0-3,2", "4294967296", "0-4294967295"]
)
def test_other_seeds_are_refused_with_an_example(text: str):
    with pytest.raises(RequestError, match="Seeds cannot be"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ("tiny-b", ["tiny-b"]),
        ("tiny-b, tiny-a", ["tiny-b", "tiny-a"]),
        # The first of the family that is ready: the one listed first has no weights.
        ("msdm", ["tiny-a"]),
        ("flux-c", ["flux-compact-gi"]),
    ],
)
def test_a_name_means_an_identifier_a_family_or_a_beginning(
    catalogue: Catalogue, names: str, chosen: list[str]
):
    assert [entry.id for entry in choose_models(catalogue, names)] == chosen


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("tin", "tiny-a or tiny-b"),
        ("msdm-c", "msdm-compact-gi or msdm-compact-radiology"),
        ("gan", "No model is called 'gan'"),
        ("", "No model is called ''"),
        ("tiny-a,", "No model is called ''"),
        ("tiny-a,msdm", "named twice"),
    ],
)
def test_a_name_of_several_models_or_none_is_refused(catalogue: Catalogue, names: str, said: str):
    with pytest.raises(CatalogueError, match=said):
        choose_models(catalogue, names)


def test_a_model_that_cannot_run_is_refused_with_its_reason(catalogue: Catalogue):
    with pytest.raises(CheckpointError, match="none-own cannot be used"):
        choose_models(catalogue, "none-own")


def test_every_model_draws_every_prompt_with_every_seed(catalogue: Catalogue):
    models = choose_models(catalogue, "tiny-a,tiny-b")
    cells = plan_batch(models, [Prompt("1", "a"), Prompt("2", "b", (9,))], (0, 1))
    asked = [(cell.entry.id, cell.prompt.id, cell.request.seed) for cell in cells]
    one = [("1", 0), ("1", 1), ("2", 9)]
    assert asked == [(model, *rest) for model in ("tiny-a", "tiny-b") for rest in one]
    assert [cell.candidates for cell in cells] == [2, 2, 1] * 2
    assert len({cell.image_id for cell in cells}) == 6


def test_the_name_of_an_image_tells_neither_model_nor_prompt(catalogue: Catalogue):
    [entry] = choose_models(catalogue, "tiny-a")
    [cell] = plan_batch([entry], [Prompt("dev-test", "a polyp")], (3,))
    # Fixed for good: another name would make an image of an earlier run twice.
    assert cell.image_id == "img-b26c5ce3d4ae6876"
    assert not {"tiny", "dev", "test", "polyp"} & set(cell.image_id.split("-"))


def test_settings_are_equal_when_what_is_drawn_is_equal(catalogue: Catalogue):
    [entry] = choose_models(catalogue, "tiny-a")
    prompts = [Prompt("1", "a")]

    def settings(**options: float) -> str:
        return plan_batch([entry], prompts, (0,), **options)[0].settings_sha256

    # 4 steps and guidance 3 are the checkpoint's own.
    assert settings() == settings(steps=4) == settings(guidance=3)
    assert len({settings(), settings(steps=5), settings(guidance=2)}) == 3
    assert settings() != plan_batch([entry], [Prompt("1", "b")], (0,))[0].settings_sha256


def test_settings_of_the_catalogue_count_where_they_decide_the_pixels(catalogue: Catalogue):
    [entry] = choose_models(catalogue, "tiny-a")
    lora = LoraEntry("", WeightsSource(path="lora"))
    changed = [
        entry,
        dataclasses.replace(entry, default_steps=9),
        dataclasses.replace(entry, dtype="bfloat16"),
        dataclasses.replace(entry, quantise="int8"),
        dataclasses.replace(entry, loras=(lora,)),
        dataclasses.replace(entry, loras=(dataclasses.replace(lora, scale=0.5),)),
    ]
    prompts = [Prompt("1", "a")]
    assert len({plan_batch([e], prompts, (0,))[0].settings_sha256 for e in changed}) == 6
    renamed = dataclasses.replace(entry, label="Another label", offload="model")
    again = plan_batch([renamed], prompts, (0,))[0]
    assert again.settings_sha256 == plan_batch([entry], prompts, (0,))[0].settings_sha256


def test_a_prior_has_its_settings_in_the_manifest():
    full = Catalogue.read()["kandinsky-2-2"]
    [cell] = plan_batch([full], [Prompt("1", "a")], (0,))
    row = cell.failed_row("no memory")
    assert (row.prior_steps, row.prior_guidance) == (
        cell.sampling.prior_steps,
        cell.sampling.prior_guidance,
    )
    assert row.prior_steps
    [without] = plan_batch([Catalogue.read()["flux-1-schnell"]], [Prompt("1", "a")], (0,))
    row = without.failed_row("no memory")
    assert (row.guidance, row.prior_steps, row.prior_guidance) == (None, None, None)


def test_models_without_a_common_size_are_refused_before_anything_is_drawn(catalogue: Catalogue):
    tiny, shipped = choose_models(catalogue, "tiny-a,msdm-compact-gi")
    with pytest.raises(RequestError, match="size"):
        plan_batch([tiny, shipped], [Prompt("1", "a")], (0,))


def test_candidates_are_counted_over_all_rows_of_model_and_prompt(catalogue: Catalogue):
    models = choose_models(catalogue, "tiny-a,tiny-b")
    cells = plan_batch(models, [Prompt("1", "a")], (0, 1)) + plan_batch(
        models[:1], [Prompt("2", "b")], (5,)
    )
    rows: list[ManifestRow] = [
        dataclasses.replace(cell.failed_row("x"), candidates=99) for cell in cells
    ]
    told = [(row.candidates, row.selection_rule) for row in counted_candidates(rows)]
    assert told == [(2, "all")] * 4 + [(1, "first_seed")]


def test_progress_tells_the_time_left_of_all_models(capsys: pytest.CaptureFixture[str]):
    progress = Progress({"a": 2, "b": 10, "c": 10}, {"a": 100.0, "b": 60.0})
    progress.start_model("a", "Model A")
    progress.start_image()
    progress.step(1, 2, lambda: None)
    progress.step(2, 2, lambda: None)
    progress.end_image(is_drawn=False)
    told = capsys.readouterr().err
    # One image of a, ten of b; c was never timed.
    assert told.splitlines() == [
        "Loading Model A",
        "Image 1 of 22, Model A, step 2 of 2, at least 12 min left",
    ]
