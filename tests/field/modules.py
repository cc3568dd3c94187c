"""Generators as PyTorch modules and checkpoints."""

from __future__ import annotations

from field.cases import Case

CASES = [Case("instance norm", "export --from norms_and_ups:instance --latent 32 --fp16 --engine none")]
