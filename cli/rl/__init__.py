"""Reinforcement learning: make its data set, and train."""
