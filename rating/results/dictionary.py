"""The data dictionary of an export, generated from `rating.results.columns`."""

from collections.abc import Iterator, Mapping
from typing import Final

from rating.results.cells import Row
from rating.results.column import MISSING, Column, TableColumns, Variant
from rating.results.columns import DICTIONARY, RATINGS

READABLE: Final = "dictionary.md"
_TREATED: Final = {
    "the same": "the same",
    "left out": "left out",
    "in bands": "in bands",
    "relative": "in seconds since the rater was shown the first item of all",
}
PILOT: Final = "**This study is a pilot. What its ratings say confirms nothing.**"

PANDAS: Final = '''\
import re
from pathlib import Path

import pandas as pd

TYPES = {
    "text": "str", "integer": "Int64", "large integer": "UInt64", "number": "Float64",
    "boolean": "boolean", "time": "str",
}


def read_table(folder, file):
    """Return a table of an export with exact types; `NA` is missing where it can be."""
    plain = {"dtype": "str", "keep_default_na": False, "encoding": "utf-8"}
    columns = pd.read_csv(Path(folder, "dictionary.csv"), **plain)
    columns = columns[columns["table"] == file].set_index("column")
    can_miss = {name: [code] for name, code in columns["missing_code"].items() if code}
    types = columns["type"].map(TYPES).to_dict()
    table = pd.read_csv(
        Path(folder, file), dtype=types, na_values=can_miss, keep_default_na=False,
        encoding="utf-8",
    )
    for name, kind in columns["type"].items():
        if kind == "time":
            table[name] = pd.to_datetime(table[name], format="ISO8601", utc=True)
        elif kind == "text" and name in can_miss:  # \\NA is the text NA itself
            table[name] = table[name].str.replace(r"^\\\\(\\\\*NA)$", r"\\1", regex=True)
    return table
'''
R: Final = r'''
read_exact <- function(path) {
  # read.csv takes a carriage return within a text for the end of a line, so it is told as another
  # sign that the file does not use.
  bytes <- readBin(path, "raw", file.size(path))
  if (!any(bytes == as.raw(13))) {
    return(read_texts(path))
  }
  sign <- as.raw(setdiff(c(1:8, 14:31), as.integer(unique(bytes)))[1])
  bytes[bytes == as.raw(13)] <- sign
  copy <- tempfile()
  on.exit(unlink(copy))
  writeBin(bytes, copy)
  table <- read_texts(copy)
  table[] <- lapply(table, function(text) {
    text <- gsub(rawToChar(sign), "\r", text, fixed = TRUE)
    Encoding(text) <- "UTF-8"
    text
  })
  table
}

read_texts <- function(path) {
  read.csv(path, colClasses = "character", na.strings = character(0), check.names = FALSE,
           encoding = "UTF-8")
}

# Returns a table of an export; NA is missing where it can be. Large integers stay text: a number
# in R holds whole numbers up to 2^53.
read_table <- function(folder, file) {
  columns <- read_exact(file.path(folder, "dictionary.csv"))
  columns <- columns[columns$table == file, ]
  table <- read_exact(file.path(folder, file))
  for (row in seq_len(nrow(columns))) {
    name <- columns$column[row]
    cells <- table[[name]]
    if (columns$missing_code[row] != "") {
      cells[cells == columns$missing_code[row]] <- NA
      if (columns$type[row] == "text") cells <- sub("^\\\\(\\\\*NA)$", "\\1", cells)
    }
    table[[name]] <- switch(
      columns$type[row],
      integer = as.integer(cells),
      number = as.numeric(cells),
      boolean = cells == "1",
      time = as.POSIXct(cells, format = "%Y-%m-%dT%H:%M:%OSZ", tz = "UTC"),
      cells
    )
  }
  table
}
'''.lstrip("\n")


def dictionary_rows(
    study_cells: Row, tables: Mapping[str, TableColumns], variant: Variant
) -> Iterator[Row]:
    """Yield the rows of dictionary.csv: each column of each table of an export once."""
    for table in tables.values():
        full = {column.name: column for column in table.columns}
        for column in table.of(variant):
            yield (
                *study_cells, table.file, column.name, column.type, column.unit, column.meaning,
                MISSING if column.missing else "", column.missing,
                _treatment(table, full.get(column.name, column)),
            )  # fmt: skip


def _treatment(table: TableColumns, column: Column) -> str:
    """Say what the public variant does with a column; of one that it renamed, what it did."""
    if not table.is_public:
        return _TREATED["left out"]
    is_renamed = column not in table.columns
    return _TREATED["relative" if is_renamed else column.public]


def dictionary_text(
    code: str, is_pilot: bool, tables: Mapping[str, TableColumns], variant: Variant
) -> str:
    """Return the readable dictionary, in Markdown."""
    parts = [
        f"# Data of study {code}{' (pilot)' if is_pilot else ''}",
        *([PILOT] if is_pilot else []),
        f"This is the {variant} variant. {_VARIANTS[variant]}",
        _GENERAL,
        *(_of_table(table, variant) for table in tables.values()),
        _reading(tables),
    ]
    return "\n\n".join(parts) + "\n"


_VARIANTS: Final[Mapping[Variant, str]] = {
    "full": "It has everything that was kept of the ratings, under codes in place of names.",
    "public": "Years of experience are in bands, moments are in seconds since the rater was shown "
    "the first item of all, and windows of browsers and remarks are left out. Everything that the "
    "statistics use is the same as in the full variant.",
}
_GENERAL: Final = f"""\
Each table is a CSV file in UTF-8 without a byte order mark: lines end with LF, the first one names
the columns, and a text with a comma, a quote or a line break stands in double quotes, quotes within
it doubled (RFC 4180). Moments are in UTC (ISO 8601, microseconds). Yes and no are 1 and 0.

A cell without a value holds `{MISSING}`, in those columns alone for which a table below says when.
In all other columns whatever stands there is meant: a prompt may be the letters NA. In a column
that can miss, a text that is itself `{MISSING}` is written `\\{MISSING}`. Texts of prompts,
questions and remarks are in tables of their own.

`excel/` holds the same tables for Excel, with a byte order mark. There an apostrophe stands before
any text that a spreadsheet would take for a formula or a date, so those copies are for looking:
compute from the files beside this page. Excel shows at most 1,048,576 lines and 15 digits of a
number."""


def _of_table(table: TableColumns, variant: Variant) -> str:
    lines = [f"## {table.file}", "", table.row, ""]
    lines += ["| column | type | meaning | `NA` |", "| --- | --- | --- | --- |"]
    for column in table.of(variant):
        kind = f"{column.type}, {column.unit}" if column.unit else column.type
        cells = (f"`{column.name}`", kind, column.meaning, column.missing or "never")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _reading(tables: Mapping[str, TableColumns]) -> str:
    names = [table.file.removesuffix(".csv") for table in tables.values()]
    python = "\n".join(f'{name} = read_table(".", "{name}.csv")' for name in names)
    in_r = "\n".join(f'{name} <- read_table(".", "{name}.csv")' for name in names)
    return f"""\
## Reading them in pandas

pandas 2 or newer. Integers, numbers and booleans can miss (`Int64`, `Float64`, `boolean`); `seed`
is `UInt64`.

```python
{PANDAS}```

```python
{python}
```

## Reading them in R

R 4.0 or newer, nothing else.

```r
{R}```

```r
{in_r}
```

Every answer that statistics rest on is a row of `{RATINGS}` whose `item_kind` is `main` and whose
moment of submission is there; `{DICTIONARY}` has this page's tables as a table."""
