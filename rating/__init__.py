"""Blinded studies: tables, assignment, answers, access, export and statistics.

The package imports `data` and never `msdm_core`; the two meet in `app.py`.
"""
