"""Distances between sets of images. May import torch, the data and the runtime."""
