"""Models on the Hub: put there, fetched, and played from there, with a Hub on this machine in place of the real one."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard, close_session, constants

import play
from model.caddy import Caddy
from playing.world import from_pretrained, load
from sharing import share
from tests.command import Command
from tests.sharing.hub_server import TOKEN, Hub, serving, sha256
from tests.synthetic import SIDE, square_configuration
from utils.checkpoint import LATEST, find_checkpoint, load_checkpoint, save_checkpoint
from utils.command import UserError
from utils.shared_model import ANIMATION, CARD, CONFIGURATION, FILES, STARTS, WEIGHTS, write_shared_model
from utils.shipped import ROOT

PLAYED = [0, 1, 2, 2, 0]

ANIMATED = ("--animation", str(ROOT / "benchmarks/results/playability.00_breakout_play.gif"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model with starting frames, and no data set."""
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    config = square_configuration(folder, "data.data_root=absent")
    starts = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 1, SIDE, SIDE, 3), np.uint8))
    contents = {"model": Caddy(config).state_dict(), "config": config.model_dump(mode="json"), "step": 7}
    path = folder / "given" / LATEST
    save_checkpoint(path, contents | {"starting_frames": starts, "action_names": ["left", "st|ay", "right"]})
    return path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub that this process talks to, in place of the real one; nothing beyond loopback is reached."""
    for name in os.environ:
        if name.startswith(("HF_", "HUGGING")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connect_here(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1"), address
        connect(self, address)

    def resolve_here(host: Any, *arguments: Any, **options: Any) -> Any:
        assert host in ("127.0.0.1", "localhost", b"127.0.0.1", b"localhost"), host
        return resolve("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home/hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with serving(Hub()) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        close_session()
        yield hub
    close_session()


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return Command(share, tmp_path / "work", monkeypatch, capsys)


@pytest.fixture(scope="module")
def shared(checkpoint: Path) -> dict[str, bytes]:
    """The files of a shared model without a card and an animation."""
    folder = checkpoint.parents[1] / "shared"
    folder.mkdir()
    write_shared_model(folder, load_checkpoint(checkpoint))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def frames_of(checkpoint: str | Path) -> np.ndarray:
    world = load(checkpoint, device="cpu")
    return np.concatenate([world.start(seed=1)[np.newaxis], world.play(PLAYED)])


def test_what_is_pushed_is_pulled_and_played(
    hub: Hub,
    command: Command,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sharing.folder.ANIMATED_FRAMES", 4)
    code, out, err = command(
        "push", "me/square", "--checkpoint", str(checkpoint), "--device", "cpu", "--license", "mit"
    )
    assert code == 0, err
    files = hub.files("me/square")
    assert files.keys() == {*FILES, ".gitattributes"}
    assert out.index("MB  model.safetensors") < out.index(f"to {hub.url}/me/square (new)") < out.index("commit      ")
    assert hub.branches["me/square"]["main"] in out

    hub.breaks_once.add(sha256(files[WEIGHTS]))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what has come of a smaller piece is fetched again
    code, out, err = command("pull", "me/square", "--output_directory", str(tmp_path / "new"))
    assert code == 0, err
    assert f"commit {hub.branches['me/square']['main']}: 3 actions" in out
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == {
        name: files[name] for name in FILES
    }
    transfers = [headers for _, path, headers in hub.requests if path == f"/cdn/{sha256(files[WEIGHTS])}"]
    first, second = (headers.get("range") for headers in transfers)
    assert first is None
    assert second is not None
    assert 1000 <= int(second.removeprefix("bytes=").removesuffix("-")) <= len(files[WEIGHTS]) // 2
    assert all("authorization" not in headers for headers in transfers)

    num_transfers = sum(path.startswith("/cdn/") for _, path, _ in hub.requests)
    expected = frames_of(checkpoint)
    for named in ("hub:me/square", tmp_path / "new", tmp_path / "new" / WEIGHTS):
        np.testing.assert_array_equal(frames_of(named), expected)
    assert num_transfers == sum(path.startswith("/cdn/") for _, path, _ in hub.requests)
    assert load(tmp_path / "new", device="cpu").action_names == ("left", "st|ay", "right")

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    close_session()
    arguments = ("--checkpoint", "hub:me/square", "--headless", "--actions", "1,2", "--device", "cpu")
    code, out, err = Command(play, tmp_path, monkeypatch, capsys)(*arguments)
    assert code == 0, err
    assert "starting from the checkpoint" in out
    with pytest.raises(UserError, match=r"^hub:me/other: .* cannot be reached, and this was not fetched"):
        from_pretrained("hub:me/other")
    refusal = Command(play, tmp_path, monkeypatch, capsys).refused("--checkpoint", "hub:me/square", "--name_actions")
    assert refusal.endswith("was shared, and is only read; name the actions of the checkpoint that it is made of")


def test_a_repository_is_added_to_where_the_user_says_so(hub: Hub, command: Command, checkpoint: Path) -> None:
    old = hub.commit("me/square", {"mine.txt": b"mine", STARTS: b"of before", CARD: b"of before"})
    (checkpoint.parent / "bare").mkdir()
    contents = load_checkpoint(checkpoint)
    save_checkpoint(checkpoint.parent / "bare" / LATEST, {name: contents[name] for name in ("model", "config")})
    push = ("push", "me/square", "--checkpoint", str(checkpoint.parent / "bare"), "--device", "cpu")
    assert command.refused(*push).startswith("hub:me/square: exists and holds 3 files; --replace makes a new commit")
    assert hub.branches["me/square"] == {"main": old}

    code, out, err = command(*push, "--revision", "half", "--half")
    assert code == 0, err
    assert "without an animation: there is nothing to start from" in out
    assert "branch half" in out
    assert hub.files("me/square", "half").keys() == {"mine.txt", CARD, CONFIGURATION, WEIGHTS}
    assert hub.branches["me/square"]["main"] == old
    assert "hub:me/square@half" in hub.files("me/square", "half")[CARD].decode()
    assert "in half precision" in hub.files("me/square", "half")[CARD].decode()
    assert find_checkpoint("hub:me/square@half").read_bytes() == hub.files("me/square", "half")[WEIGHTS]

    code, out, err = command(*push, "--replace")
    assert code == 0, err
    assert hub.files("me/square").keys() == {"mine.txt", CARD, CONFIGURATION, WEIGHTS}
    assert hub.commits[old]["mine.txt"] == b"mine"
    assert len(hub.files("me/square")[WEIGHTS]) > 1.5 * len(hub.files("me/square", "half")[WEIGHTS])


def test_a_folder_is_written_without_the_hub(command: Command, checkpoint: Path) -> None:
    push = ("push", "--checkpoint", str(checkpoint), "--device", "cpu", "--output_directory", "new")
    code, _, err = command(*push, *ANIMATED)
    assert code == 0, err
    folder = command.folder / "new"
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert (folder / ANIMATION).read_bytes().startswith(b"GIF8")
    card = ModelCard.load(folder / CARD)
    assert (card.data.library_name, card.data.pipeline_tag) == ("playable-video", "image-to-video")
    assert "| actions | 3: 1 left, 2 st\\|ay, 3 right |" in card.text
    assert "| training | 7 steps |" in card.text
    assert "None is named" in card.text
    assert yaml.safe_load((folder / CONFIGURATION).read_text())["logging"]["run_name"] == "square"
    assert command.refused(*push) == "new: exists; choose another --output_directory"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["push"], "give a repository, owner/name, to share the model there, or --output_directory, one of both"),
        (["push", "me/square", "--output_directory", "new"], "give a repository, owner/name"),
        (["push", "me/square", "--license", "Mine, all mine"], "--license Mine, all mine: write it as the Hub does"),
        (["push", "square"], "square: not a model on the Hub; write hub:owner/name"),
        (["pull", "../.."], "../..: not a model on the Hub"),
        (["pull", "me/square", "--revision", "../main"], "me/square@../main: not a model on the Hub"),
        (
            ["push", "--output_directory", "new", "--animation", "a.gif"],
            "--animation a.gif: not a GIF",
        ),
        (["push", "--output_directory", "new", "--playability", "a.json"], "a.json: cannot be read"),
        (["push", "--output_directory", "new", "--checkpoint", "none"], "none: no such checkpoint; "),
        ([], "the following arguments are required: push|pull; see --help"),
    ],
)
def test_mistakes(command: Command, checkpoint: Path, arguments: list[str], told: str) -> None:
    given = ["--checkpoint", str(checkpoint)] if arguments[:1] == ["push"] and "--checkpoint" not in arguments else []
    assert command.refused(*arguments, *given).startswith(told)


def test_without_a_login(hub: Hub, command: Command, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    code, _, err = command("push", "me/square", "--checkpoint", str(checkpoint), "--device", "cpu", *ANIMATED)
    assert code == 2
    assert err.startswith(f"error: hub:me/square: {hub.url} refuses this (HTTP 401); log in with 'hf auth login'")
    assert err.count("\n") == 1
    assert hub.branches == {}


def test_what_cannot_be_pulled(
    hub: Hub, command: Command, shared: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(repository: str, *arguments: str) -> str:
        told = command.refused("pull", repository, *arguments)
        assert told.startswith(f"hub:{repository}") or "/snapshots/" in told.partition(":")[0]
        return told

    monkeypatch.delenv("HF_TOKEN")
    assert "no such repository, or a private one; check the name, or log in" in refused("me/none")
    hub.commit("me/private", shared)
    hub.private.add("me/private")
    assert "refuses this (HTTP 401); log in with 'hf auth login'" in refused("me/private")

    hub.commit("me/square", shared)
    assert "there is no such revision; " in command.refused("pull", "me/square", "--revision", "none")
    hub.commit("me/foreign", {"config.json": b"{}", "model.bin": b"other"})
    assert "not a model of this project (it has no model.safetensors)" in refused("me/foreign")
    hub.commit("me/cut", shared | {WEIGHTS: shared[WEIGHTS][:-9]})
    assert "damaged, or not a checkpoint; copy or download its folder again" in refused("me/cut")
    hub.commit("me/other", shared | {CONFIGURATION: b"a: {b"})
    assert "config.yaml: not readable as YAML" in refused("me/other")

    hub.large[sha256(shared[STARTS])] = shared[STARTS][:-1] + b"\0"
    told = refused("me/square")
    assert told.startswith("hub:me/square: starting_frames.safetensors was damaged, and is removed from the cache; run")
    hub.large[sha256(shared[STARTS])] = shared[STARTS]
    assert command("pull", "me/square")[0] == 0
    assert load("checkpoints/square", device="cpu").num_actions == 3
    assert command.refused("pull", "me/square") == "checkpoints/square: exists; choose another --output_directory"

    hub.is_silly = True
    assert "does not answer as a Hub does" in refused("me/new")


def test_without_the_package(command: Command, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for arguments in (["pull", "me/square"], ["push", "me/square", "--checkpoint", str(checkpoint)]):
        assert command.refused(*arguments).endswith('pip install huggingface-hub, or "playable-video[hub]"')
