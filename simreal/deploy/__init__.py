"""Deployment: a bundle in a robot's control loop."""
