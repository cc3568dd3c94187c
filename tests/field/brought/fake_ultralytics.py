"""An engine file with a JSON header in front, as Ultralytics writes it (own code): python fake_ultralytics.py OUT.engine"""

import json
import sys
from pathlib import Path

head = json.dumps(
    {"description": "a model", "batch": 1, "imgsz": [640, 640], "names": {i: f"class {i}" for i in range(80)}}
).encode()
Path(sys.argv[1]).write_bytes(
    len(head).to_bytes(4, "little", signed=True)
    + head
    + b"ftrt"
    + bytes(20)
    + bytes([10, 3, 0, 26])
    + bytes(4000)
)
