"""Measure generated sequences: `python evaluate_dataset.py --config configs/evaluation/00_breakout_demo.yaml`."""

import argparse

from evaluation.configuration import EvaluationConfiguration, evaluation_of, load_evaluation_configuration
from playing.arguments import chosen_model
from utils.command import UserError, configuration_parser, run_command


def main() -> None:
    """Measure, and print where the results are."""
    parser = configuration_parser(
        "Measure the sequences that build_evaluation_dataset.py generated against the true ones. What cannot be "
        "computed, for want of a pretrained network, is left out with its reason.",
        "python evaluate_dataset.py --config configs/evaluation/00_breakout_demo.yaml",
        takes_checkpoint=True,
    )
    parser.add_argument(
        "--require_all", action="store_true", help="refuse to begin (exit code 2) if a metric cannot be computed"
    )
    arguments = parser.parse_args()
    config = _configuration(arguments)

    from evaluation.compare import table  # imported here since it takes seconds
    from evaluation.dataset_evaluator import DATA_FILE, evaluate_dataset

    results = evaluate_dataset(config, arguments.device, require_all=arguments.require_all)
    print(table({config.logging.run_name: results}))
    print(f"numbers     {config.logging.output_directory / DATA_FILE}")
    print(f"report      {config.logging.output_directory / 'report.html'}")


def _configuration(arguments: argparse.Namespace) -> EvaluationConfiguration:
    """Return the configuration of --config, else that of what the model of --checkpoint reconstructed.

    Raises:
        UserError: none or both are given, or one cannot be used.
    """
    if None not in (arguments.config, arguments.checkpoint):
        raise UserError("--checkpoint does not go with --config, which says what to compare; leave one of them out")
    if arguments.config is not None:
        return load_evaluation_configuration(arguments.config, arguments.overrides)
    config, _ = chosen_model(argparse.Namespace(config=None, checkpoint=arguments.checkpoint, overrides=None))
    return evaluation_of(config, arguments.overrides)


if __name__ == "__main__":
    run_command(main)
