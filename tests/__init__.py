"""Tests: unit, integration, browser, and benchmarks that are run by hand."""
