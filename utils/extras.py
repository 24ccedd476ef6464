"""What to say where a package is missing that only some commands need."""

from utils.command import UserError


def missing_package(purpose: str, package: str, extra: str, packages: str | None = None) -> UserError:
    """Return the error that `purpose`, such as "exporting", needs a package that is not installed.

    Args:
        purpose: what needs it.
        package: its name.
        extra: the name of the extra in pyproject.toml that installs it.
        packages: all packages of which it needs some, separated by spaces; None for this one.
    """
    return UserError(
        f"{purpose} needs {package}, which is not installed; install it: pip install {packages or package}, or "
        f'"playable-video[{extra}]"'
    )
