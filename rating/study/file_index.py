"""Files found by the names that a table gives them."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from rating.study.problem import named

_IMAGE_FOLDER: Final = "images"


class FileIndex:
    """Names of files, found as a table spells them: letter case, accents and folders forgiven."""

    def __init__(self, names: Iterable[str]) -> None:
        """Index names relative to one place, with "/" between folders."""
        self._names = frozenset(names)
        self._by_key: defaultdict[str, list[str]] = defaultdict(list)
        self._by_bare_key: defaultdict[str, list[str]] = defaultdict(list)
        for name in sorted(self._names):
            self._by_key[_key(name)].append(name)
            self._by_bare_key[_key(PurePosixPath(name).name)].append(name)

    def find(self, spelt: str, folder: str = "") -> tuple[str, bool]:
        """Return the name that is meant and whether it is spelt exactly so.

        Args:
            spelt:  As in the table; looked for beside it, in images/, then, where no folder is
                    named, anywhere.
            folder: Where the table is.

        Raises:
            LookupError: None is meant, or several could be; the message says which.
        """
        wanted = spelt.replace("\\", "/").removeprefix("./")
        path = PurePosixPath(wanted)
        if path.is_absolute() or ".." in path.parts or (len(wanted) > 1 and wanted[1] == ":"):
            raise LookupError(
                f"{spelt!r} leads out of the folder; name the file relative to the table."
            )
        beside = PurePosixPath(folder)
        places = [str(beside / path), str(beside / _IMAGE_FOLDER / path)]
        for place in places:
            if place in self._names:
                return place, True
        for place in places:
            if found := self._by_key.get(_key(place)):
                return _only(spelt, found), False
        if len(path.parts) == 1 and (found := self._by_bare_key.get(_key(wanted))):
            return _only(spelt, found), PurePosixPath(found[0]).name == wanted
        raise LookupError(f"there is no file {spelt!r}; correct the filename or add the image.")


def _only(spelt: str, found: list[str]) -> str:
    if len(found) > 1:
        raise LookupError(
            f"{spelt!r} could be any of {named(found)}; spell it with its folder and as it is."
        )
    return found[0]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
