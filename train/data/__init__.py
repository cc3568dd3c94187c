"""Images and labels from folders, archives and arrays. May import torch, Pillow and the runtime."""
