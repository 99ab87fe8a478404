"""Radiology: what its captions state, the terms they use, and prompts built from both."""
