"""The packages that exporting needs, from one place, where a missing one is explained. `UserError` if one is."""

from utils.command import UserError

try:
    import onnx
    import onnxruntime
except ImportError as error:
    raise UserError(
        f"exporting needs {error.name}, which is not installed; install it: pip install onnx onnxruntime"
    ) from error

__all__ = ["onnx", "onnxruntime"]
