"""Images to train on."""

from __future__ import annotations

from field.cases import Case

CASES: list[Case] = []
