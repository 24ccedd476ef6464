"""The metrics of `evaluate_dataset.py`.

A new one is a file of its own and an entry in `METRICS`.
"""

from collections.abc import Callable
from functools import partial

from evaluation import networks
from evaluation.action_comparison import ActionComparison
from evaluation.extremes import Extremes
from evaluation.frame_comparison import FrameComparison, FrameMetric
from evaluation.metric import Metric, Needs, NotAskedFor
from evaluation.metrics.feature_distances import lpips, vgg_similarity
from evaluation.metrics.frame_errors import motion_masked_mse, mse, psnr
from evaluation.metrics.structural_similarity import ssim
from evaluation.movement.all_trackers import select_tracker
from evaluation.movement.tracker import Tracker
from evaluation.set_comparison import SetComparison
from utils.command import UserError

NUM_TYPICAL_FRAMES = 200
"""True frames from which a tracker learns the scene."""

MakeMetric = Callable[[Needs], Metric | None]
"""Makes a metric; returns None if something that it needs is missing, with the reason noted in `Needs`."""


def of_each_frame(name: str, metric: FrameMetric) -> MakeMetric:
    """Make a metric that compares each generated frame with the true one."""
    return lambda needs: FrameComparison({name: metric}, len(needs.pairs), needs.num_frames)


def _vgg_cosine_similarity(needs: Needs) -> Metric | None:
    name = "vgg_cosine_similarity"
    network = needs.get((name,), networks.load_similarity_network)
    return None if network is None else of_each_frame(name, partial(vgg_similarity, network))(needs)


def _lpips(needs: Needs) -> Metric | None:
    network = needs.get(("lpips",), networks.load_lpips_network)
    return None if network is None else of_each_frame("lpips", partial(lpips, network))(needs)


def _frame_sets(needs: Needs) -> Metric | None:
    inception = needs.get(("fid", "kid", "inception_score"), networks.load_inception)
    return None if inception is None else SetComparison(inception, None)


def _fvd(needs: Needs) -> Metric | None:
    def load() -> networks.VideoNetwork:
        if needs.num_frames < networks.LEAST_I3D_FRAMES:
            raise NotAskedFor(f"it takes sequences of {networks.LEAST_I3D_FRAMES} frames at least")
        return networks.load_i3d()

    i3d = needs.get(("fvd",), load)
    return None if i3d is None else SetComparison(None, i3d)


def _actions(needs: Needs) -> Metric:
    name = needs.config.evaluation.movement_name

    def load_tracker() -> Tracker:
        tracker = select_tracker(name, needs.pairs.typical_frames(NUM_TYPICAL_FRAMES), needs.device)
        if tracker is None:
            raise NotAskedFor("evaluation.movement is none")
        return tracker

    def require_true_actions() -> bool:
        if not needs.config.data.ground_truth_available:
            raise NotAskedFor("data.ground_truth_available is false")
        if not needs.pairs.knows_actions:
            raise UserError(f"not all videos in {needs.config.reference_data.data_root} have true actions")
        return True

    tracker = needs.get(("detection", "action_variance", "linear"), load_tracker)
    if tracker and not tracker.sees_frames:
        needs.left_out["detection"] = f"'{name}' reads positions from annotations, which generated frames lack"
    knows_actions = needs.get(("actions",), require_true_actions)
    return ActionComparison(needs.actions_count, tracker, knows_actions=bool(knows_actions))


METRICS: tuple[MakeMetric, ...] = (
    of_each_frame("mse", mse),
    of_each_frame("motion_masked_mse", motion_masked_mse),
    of_each_frame("psnr", psnr),
    of_each_frame("ssim", ssim),
    _vgg_cosine_similarity,
    _lpips,
    _frame_sets,
    _fvd,
    _actions,
    lambda _: Extremes(),
)
"""All metrics, in the order of `data.yml`."""
