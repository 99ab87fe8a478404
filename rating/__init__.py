"""Blinded studies: tables, assignment, answers, access, export and statistics.

Nothing lives here yet. The package will import `data` and never `msdm_core`.
"""
