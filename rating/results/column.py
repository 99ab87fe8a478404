"""What a column of an exported table is, and what the public variant makes of it."""

import dataclasses
from typing import Final, Literal, get_args

Variant = Literal["full", "public"]
VARIANTS: Final[tuple[str, ...]] = get_args(Variant)
Type = Literal["text", "integer", "large integer", "number", "boolean", "time"]
Public = Literal["the same", "left out", "in bands", "relative"]

MISSING: Final = "NA"
BANDS: Final = ((0, 4), (5, 9), (10, 19))  # years of experience; above the last there is one more
LAST_BAND: Final = "20+"


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        name:    In the header.
        type:    "text", "integer", "large integer" (beyond 2**53: no floating-point number holds
                 it), "number", "boolean" (0 or 1) or "time" (ISO 8601 in UTC, microseconds).
        meaning: A sentence.
        unit:    "" for none.
        missing: When the cell is `NA`; "" for never.
        public:  What the public variant does with it.
    """

    name: str
    type: Type
    meaning: str
    unit: str = ""
    missing: str = ""
    public: Public = "the same"

    def published(self) -> "Column | None":
        """Return the column as the public variant has it; None where that leaves it out."""
        if self.public == "left out":
            return None
        if self.public == "in bands":
            bands = ", ".join([f"{low}-{high}" for low, high in BANDS] + [LAST_BAND])
            meaning = f"{self.meaning.rstrip('.')}, in bands: {bands}."
            return dataclasses.replace(self, type="text", meaning=meaning)
        if self.public == "relative":
            meaning = (
                f"{self.meaning.rstrip('.')}, counted from the moment at which the rater was shown "
                "the first item of all."
            )
            name = self.name.removesuffix("_at") + "_s"
            return dataclasses.replace(self, name=name, type="number", unit="s", meaning=meaning)
        return self


@dataclasses.dataclass(frozen=True, slots=True)
class TableColumns:
    """A table: its file, what one row is, and its columns in their order.

    `is_public` tells whether the public variant has it at all.
    """

    file: str
    row: str
    columns: tuple[Column, ...]
    is_public: bool = True

    def names(self, variant: Variant) -> tuple[str, ...]:
        """Return the header of the table in a variant."""
        return tuple(column.name for column in self.of(variant))

    def of(self, variant: Variant) -> tuple[Column, ...]:
        """Return the columns of the table in a variant."""
        if variant == "full":
            return self.columns
        return tuple(
            public for column in self.columns if (public := column.published()) is not None
        )
