"""The statistics of a study, computed from its exported tables alone.

These modules import each other relatively and nothing else of the project: a study capsule carries
them as they are, so that its script recomputes what the application showed.
"""
