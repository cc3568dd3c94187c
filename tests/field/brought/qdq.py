"""A generator that was quantized elsewhere (Q/DQ pairs, by ONNX Runtime's own tool): python qdq.py IN.onnx OUT.onnx"""

import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static


class Reader(CalibrationDataReader):
    def __init__(self):
        self.left = [{"z": np.random.RandomState(i).randn(2, 64, 1, 1).astype(np.float32)} for i in range(8)]

    def get_next(self):
        return self.left.pop() if self.left else None


quantize_static(
    sys.argv[1],
    sys.argv[2],
    Reader(),
    quant_format=QuantFormat.QDQ,
    activation_type=QuantType.QInt8,
    weight_type=QuantType.QInt8,
    per_channel=False,
)
