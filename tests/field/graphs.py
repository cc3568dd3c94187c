"""Generators as ONNX graphs."""

from __future__ import annotations

from field.cases import Case

CASES: list[Case] = []
