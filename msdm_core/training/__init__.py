"""Training commands for the models of this project (``python -m msdm_core train ...``)."""
