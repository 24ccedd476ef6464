"""Export a page that plays trained models in a browser: `python export.py --config configs/00_breakout_demo.yaml`."""

import argparse
from pathlib import Path

from playing.arguments import chosen_models
from utils.command import (
    EXIT_DONE,
    CommandParser,
    non_negative_int,
    options_from,
    positive_float,
    positive_int,
    run_command,
)
from web.server import DEFAULT_PORT, serve


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = CommandParser(
        "Write a page that plays a trained model in any modern browser, without a server that computes: the model as "
        "ONNX, starting frames, and the runtime. Of several models the page lets one choose. Running the same command "
        "again replaces its own files.",
        "python export.py --config configs/00_breakout_demo.yaml --output_directory page --serve",
    )
    add = parser.add_argument
    parser.add_configuration(takes_checkpoint=True, takes_several=True)
    add("--output_directory", type=Path, required=True, metavar="DIR", help="a new folder, or an earlier export")
    add("--half", action="store_true", help="store weights in half precision: half the download; computes in float32")
    add("--single_file", action="store_true", help="write one index.html that opens from disk, of one model")
    add(
        "--runtime",
        choices=("local", "cdn"),
        default="local",
        help="have onnxruntime-web beside the page, or linked from a public server (default: %(default)s)",
    )
    add(
        "--runtime_directory",
        type=Path,
        metavar="DIR",
        help="where onnxruntime-web's files are (default: in node_modules, else they are fetched by npm)",
    )
    add(
        "--action_names",
        nargs="+",
        metavar="NAME",
        help="what the actions are called (default: as the checkpoint says, else 1 2 3 ...)",
    )
    add("--starting_frames", type=positive_int, default=8, metavar="N", help="of how many to choose (default: 8)")
    add("--initial_frame", metavar="FILE", help="begin from picture.png, or from a moment: video.mp4@12.5s")
    add("--fps", type=positive_float, help="frames a second in real time (default: as the checkpoint says, else 10)")
    add("--serve", action="store_true", help="serve the page to this machine's browsers until Ctrl-C")
    add("--port", type=non_negative_int, default=DEFAULT_PORT, help="with --serve (default: %(default)s)")
    return parser.parse_args()


def main() -> int:
    """Export, print a summary, and serve with `--serve`; return the exit code."""
    arguments = parse_arguments()
    models = chosen_models(arguments)

    from web.exporter import ExportOptions, export_games  # imported here since it takes seconds

    options = options_from(arguments, ExportOptions)
    exported = export_games(models, options)
    for game in exported.games:
        if len(exported.games) > 1:
            print(f"game        {game.name}")
        print(game.report)
    print(f"page        {exported.num_bytes / 1e6:.1f} MB, in {options.output_directory}")
    if arguments.serve:
        serve(options.output_directory, arguments.port)
    elif options.single_file:
        print(f"next        open {options.output_directory / 'index.html'} in a browser")
    else:
        print("next        the same command with --serve, or put the folder on any web server")
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
