"""Measuring what the models make: the evaluator network, metrics, spectra and cost."""
