"""Trajectories: source data, demonstrations, and the formats they are kept in."""
