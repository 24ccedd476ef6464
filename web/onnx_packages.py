"""The packages that exporting needs; importing this module raises a `UserError` if one is missing."""

from utils.command import UserError

try:
    import onnx
    import onnxruntime
except ImportError as error:
    raise UserError(
        f"exporting needs {error.name}, which is not installed; install it: pip install onnx onnxruntime"
    ) from error

__all__ = ["onnx", "onnxruntime"]
