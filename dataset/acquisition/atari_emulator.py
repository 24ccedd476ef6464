"""The package that has the Atari emulator and games; importing this module raises a `UserError` if it is missing."""

from utils.extras import missing_package

try:
    import ale_py
except ImportError as error:
    raise missing_package("recording Atari", "ale-py", "atari") from error

__all__ = ["ale_py"]
