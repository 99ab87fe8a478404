"""Alembic scripts: what a revision changes in the tables."""
