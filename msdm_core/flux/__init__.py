"""FLUX at small scale: its sizes and how it is put together from stock classes."""
