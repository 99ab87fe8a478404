"""From a prompt to saved images: catalogue, requests, adapters, jobs and history.

Nothing here imports torch before a model is loaded.
"""
