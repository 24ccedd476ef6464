"""The packages that exporting needs; importing this module raises a `UserError` if one is missing."""

from utils.extras import missing_package

try:
    import onnx
    import onnxruntime
except ImportError as error:
    raise missing_package("exporting", str(error.name), "export", "onnx onnxruntime") from error

__all__ = ["onnx", "onnxruntime"]
