"""Data, losses, the loop: images -> checkpoint."""
