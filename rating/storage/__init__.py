"""The database of studies: tables, connections and migrations."""
