"""Contract: a model's domain decides which terms of a prompt it knows and which models are offered
together; both command lines know the same domains.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data.domains import DOMAINS, ENDOSCOPY
from data.prompt_builder import PROMPT_CHOICES
from msdm_core.__main__ import build_parser
from msdm_core.errors import CatalogueError
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.prompt_terms import domain_note, show_terms
from tests.unit.test_catalogue import OWN, SHIPPED, write_catalogue


def of_domain(home: Path, domain: str) -> ModelEntry:
    own = OWN + f'path = "there"\ndomain = "{domain}"\n'
    return Catalogue.read(write_catalogue(home, own))["mine"]


def test_what_ships_is_of_endoscopy_where_nothing_else_is_said() -> None:
    of_radiology = {model_id for model_id in SHIPPED if "radiology" in model_id}
    for entry in Catalogue.read():
        assert entry.domain == ("radiology" if entry.id in of_radiology else "endoscopy"), entry.id


def test_an_entry_may_name_its_domain(tmp_path: Path) -> None:
    assert of_domain(tmp_path, "radiology").language is DOMAINS["radiology"]


def test_a_domain_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="known: endoscopy, radiology"):
        of_domain(tmp_path, "dermatology")


def test_terms_are_those_of_the_models_domain(tmp_path: Path) -> None:
    rays = of_domain(tmp_path, "radiology")
    scope = replace(rays, id="scope", label="Scope", domain="endoscopy")
    of_rays, of_scope = (show_terms("pneumonia, polyp", [entry]) for entry in (rays, scope))
    assert 'title="understood as finding:pneumonia"' in of_rays
    assert 'title="understood as finding:polyp"' in of_scope
    assert 'm-term-ignored">polyp' in of_rays and 'm-term-ignored">pneumonia' in of_scope


def test_models_of_two_domains_together_are_named(tmp_path: Path) -> None:
    rays = of_domain(tmp_path, "radiology")
    scope = replace(rays, id="scope", label="Scope", domain="endoscopy")
    assert domain_note([rays]) == domain_note([]) == ""
    assert "My model: radiology; Scope: GI endoscopy" in domain_note([rays, scope])
    assert "belongs to one" in show_terms("pneumonia", [rays, scope])


def test_the_command_lines_know_every_domain() -> None:
    for name in DOMAINS:
        for command in (
            ["train", "denoiser", "--data", "d", "--out", "o", "--domain", name],
            ["evaluate", "--model", "m", "--data", "d", "--out", "o", "--domain", name],
        ):
            assert build_parser(command[0]).parse_args(command).domain == name


def test_the_builder_of_endoscopy_offers_what_its_data_hold() -> None:
    fields = {field.name: field for field in ENDOSCOPY.fields}
    assert {name: field.values for name, field in fields.items()} == dict(PROMPT_CHOICES)
    lists = {name for name, field in fields.items() if field.is_list}
    assert lists == {name for name in PROMPT_CHOICES if name.endswith("s")}
