"""What comes with the project, found by its name."""

from pathlib import Path

from utils.sections import ConfigurationError

ROOT = Path(__file__).parents[1]
"""The repository, or the installed package."""

CONFIGURATIONS = ROOT / "configs"
EVALUATION_CONFIGURATIONS = CONFIGURATIONS / "evaluation"


def find_configuration(text: str | Path, folder: Path) -> Path:
    """Return the file of that path, else the configuration in `folder` of that name, with or without `.yaml`.

    Raises:
        ConfigurationError: there is neither; the message lists the names.
    """
    path = Path(text)
    if path.exists():
        return path
    shipped = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    name = path.name.removesuffix(".yaml")
    if len(path.parts) == 1 and name in shipped:
        return shipped[name]
    raise ConfigurationError(
        f"{path}: cannot be read (No such file or directory); --config takes a file, or the name of one that comes "
        f"with the project: {', '.join(shipped)}"
    )
