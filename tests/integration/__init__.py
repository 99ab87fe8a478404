"""Tests of parts working together: real models, commands and servers."""
