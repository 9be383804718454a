"""Recordings of other tools, brought to this project's own dataset: one source a file, one way of data."""
