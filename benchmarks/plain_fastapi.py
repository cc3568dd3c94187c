"""The baseline of benchmarks/serve.py: a service of images with nothing done for speed.

GRAPH=g.onnx uvicorn plain_fastapi:app
"""

import io
import os

import numpy as np
import onnxruntime
from fastapi import FastAPI, Response
from PIL import Image

session = onnxruntime.InferenceSession(os.environ["GRAPH"], providers=["CPUExecutionProvider"])
latent = session.get_inputs()[0].shape[1]
app = FastAPI()


@app.get("/images/{seed}.png")
def image(seed: int) -> Response:
    """Answer with the image of a seed."""
    z = np.random.RandomState(seed).randn(1, latent).astype(np.float32)
    (images,) = session.run(None, {"z": z})
    file = io.BytesIO()
    Image.fromarray(images[0].squeeze()).save(file, "PNG")
    return Response(file.getvalue(), media_type="image/png")
