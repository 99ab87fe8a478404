"""Plays a rater against the running application and searches all it receives for what unblinds."""
