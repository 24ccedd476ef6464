"""Reconstruct the test split: `python build_evaluation_dataset.py --config configs/00_breakout_demo.yaml`."""

from playing.arguments import chosen_model
from utils.command import EXIT_DONE, configuration_parser, run_command


def main() -> int:
    """Build the data set, or continue an interrupted build; return the exit code."""
    parser = configuration_parser(
        "Let a trained model reconstruct every sequence of the test split from its first frames and the actions "
        "inferred from it: the data set that evaluate_dataset.py compares with the true one. Needs the checkpoint of "
        "the run. Run the same command again to continue an interrupted build; a finished one is left as it is unless "
        "the checkpoint, the configuration or the data changed.",
        "python build_evaluation_dataset.py --config configs/00_breakout_demo.yaml "
        "--set evaluation_dataset.max_sequences=200",
        takes_checkpoint=True,
    )
    parser.add_argument("--force", action="store_true", help="build from the beginning, whatever is there already")
    parser.add_argument(
        "--authors_layout",
        action="store_true",
        help="write actions.pkl, rewards.pkl, metadata.pkl and dones.pkl, as the published code does, in place of "
        "annotations.json",
    )
    arguments = parser.parse_args()
    config, checkpoint = chosen_model(arguments)

    from evaluation.dataset_builder import build_evaluation_dataset  # imported here since it takes seconds

    build_evaluation_dataset(
        config,
        arguments.device,
        force=arguments.force,
        layout="authors" if arguments.authors_layout else "ours",
        checkpoint=checkpoint,
    )
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
