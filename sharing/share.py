"""Share a trained model on the Hugging Face Hub, or fetch one: `python -m sharing.share push` and `pull`.

python -m sharing.share push owner/name --checkpoint checkpoints/02_breakout --license apache-2.0
python -m sharing.share pull owner/name
"""

import argparse
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from playing.arguments import chosen_model
from utils.command import CommandParser, UserError, options_from, run_command
from utils.command_names import as_run_here
from utils.files import require_writable, unfinished_folder
from utils.hub import HubAddress, download, files_on_hub, page_of, upload

OWN_FILES = (".gitattributes",)
"""Files that the Hub puts into a new repository itself."""


def main() -> None:
    """Run the command."""
    arguments = _parse()
    arguments.run(arguments)


def push(arguments: argparse.Namespace) -> None:
    """Write the folder of a checkpoint, or put it on the Hub; say what goes where before, and what was made after.

    Raises:
        UserError: something is missing, damaged or invalid, or the repository holds something already.
    """
    if (arguments.repository is None) == (arguments.output_directory is None):
        raise UserError("give a repository, owner/name, to share the model there, or --output_directory, one of both")
    if arguments.license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", arguments.license):
        raise UserError(f"--license {arguments.license}: write it as the Hub does, such as apache-2.0, mit or other")
    if arguments.repository is None:
        _require_new(arguments.output_directory)
        _write(arguments, arguments.output_directory, arguments.output_directory.resolve().name)
        _list(arguments.output_directory)
        print(f"written     {arguments.output_directory}")
        return
    address = HubAddress.of(arguments.repository, arguments.revision)
    present = _require_room(address, arguments.replace)
    with TemporaryDirectory() as place:
        folder = Path(place, "folder")
        _write(arguments, folder, str(address))
        _list(folder)
        branch = f", branch {address.revision}" if address.revision else ""
        print(f"uploading   to {page_of(address)}{branch}{'' if present else ' (new)'}", flush=True)
        commit = upload(folder, address, "Share a playable video model", arguments.private)
    print(f"commit      {commit.sha}\n            {commit.url}")
    print(as_run_here(f"play        python play.py --checkpoint {address}"))


def pull(arguments: argparse.Namespace) -> None:
    """Fetch a model from the Hub into a folder of its own.

    Raises:
        UserError: it cannot be fetched, is not a model of this project, or the folder exists.
    """
    address = HubAddress.of(arguments.repository, arguments.revision)
    folder = arguments.output_directory or Path("checkpoints", address.repository.rpartition("/")[2])
    _require_new(folder)
    fetched = download(address)

    from playing.world import load  # imported here since it takes seconds

    world = load(fetched, device="cpu")
    with unfinished_folder(folder) as unfinished:
        for path in fetched.iterdir():
            shutil.copyfile(path, unfinished / path.name)
        unfinished.rename(folder)
    _list(folder)
    print(f"fetched     {address}, commit {fetched.name}: {world.num_actions} actions")
    print(as_run_here(f"play        python play.py --checkpoint {folder}"))


def _write(arguments: argparse.Namespace, folder: Path, named: str) -> None:
    config, arguments.checkpoint = chosen_model(arguments)

    from sharing.folder import FolderOptions, write_folder  # imported here since it takes seconds

    with unfinished_folder(folder) as unfinished:
        write_folder(config, options_from(arguments, FolderOptions), unfinished, named)
        unfinished.rename(folder)
    if Path(config.data.data_root).is_absolute():
        print(f"note        config.yaml tells where the data are here: {config.data.data_root}")


def _require_new(folder: Path) -> None:
    """Check that a folder can be made, or is empty.

    Raises:
        UserError: it holds something, or cannot be written.
    """
    require_writable(folder.parent, "choose another --output_directory")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder}: exists; choose another --output_directory")


def _require_room(address: HubAddress, may_replace: bool) -> list[str]:
    """Return the files that the repository holds.

    Raises:
        UserError: it holds something, and the user has said neither --replace nor on which branch.
    """
    present = files_on_hub(address) or []
    if not may_replace and address.revision is None and set(present) - set(OWN_FILES):
        raise UserError(
            f"{address}: exists and holds {len(present)} files; --replace makes a new commit on top of them, "
            "which keeps the history, and --revision BRANCH one on a branch"
        )
    return present


def _list(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        print(f"            {path.stat().st_size / 1e6:8.2f} MB  {path.name}")


class _Subcommand(CommandParser):
    """The parser of `push` or `pull`."""

    def __init__(self, prog: str, description: str, example: str) -> None:
        super().__init__(description, example)
        self.prog = prog


def _parse() -> argparse.Namespace:
    parser = CommandParser(
        "Share a trained model on the Hugging Face Hub, or fetch one that others shared.",
        "python -m sharing.share pull owner/name",
    )
    commands = parser.add_subparsers(metavar="push|pull", required=True, parser_class=_Subcommand)
    _add_push(commands)
    _add_pull(commands)
    return parser.parse_args()


def _add_push(commands: "argparse._SubParsersAction[_Subcommand]") -> None:
    push_parser = commands.add_parser(
        "push",
        help="put a model on the Hub, or into a folder",
        description="Put a trained model on the Hugging Face Hub in one commit, or into a new folder: weights in "
        "safetensors, configuration, starting frames, an animation and a model card. The Hub asks for a login: hf auth "
        "login, or HF_TOKEN.",
        example="python -m sharing.share push owner/name --checkpoint checkpoints/02_breakout --license apache-2.0",
    )
    push_parser.add_configuration(takes_checkpoint=True)
    push_parser.add_device("play the animation on")
    add = push_parser.add_argument
    add("repository", nargs="?", metavar="owner/name", help="where on the Hub; made if there is none")
    add("--output_directory", type=Path, metavar="DIR", help="only write a new folder here, and upload nothing")
    add("--revision", metavar="BRANCH", help="the branch of the repository, made if there is none (default: main)")
    add("--replace", action="store_true", help="add a commit to a repository that holds something; its history stays")
    add("--private", action="store_true", help="let nobody else see a new repository")
    add("--half", action="store_true", help="store weights in half precision: half the download")
    add("--license", metavar="NAME", help="as the Hub names it, such as apache-2.0 (default: the card names none)")
    add("--playability", type=Path, metavar="FILE.json", help="figures of play (default: those of the run, if any)")
    add("--evaluation", type=Path, metavar="data.yml", help="figures of an evaluation (default: the run's, if any)")
    add("--animation", type=Path, metavar="FILE.gif", help="what the card shows (default: a few games are played)")
    push_parser.set_defaults(run=push)


def _add_pull(commands: "argparse._SubParsersAction[_Subcommand]") -> None:
    pull_parser = commands.add_parser(
        "pull",
        help="fetch a model from the Hub",
        description="Fetch a model from the Hugging Face Hub into a new folder, which --checkpoint of every command "
        "takes. What was fetched before is not fetched again.",
        example="python -m sharing.share pull owner/name --output_directory checkpoints/breakout",
    )
    add = pull_parser.add_argument
    add("repository", metavar="owner/name", help="the model on the Hub")
    add("--revision", metavar="REVISION", help="a branch, a tag or a commit (default: main)")
    add("--output_directory", type=Path, metavar="DIR", help="a new folder (default: checkpoints/<name>)")
    pull_parser.set_defaults(run=pull)


if __name__ == "__main__":
    run_command(main)
