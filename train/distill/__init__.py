"""Distillation: a student learns to make the images of a teacher. It may import all of train but its commands."""
