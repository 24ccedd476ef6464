"""Metrics of all generated frames and sequences against all true ones: FID, KID, IS, FVD (docs/method.md#set-metrics).

Dimensions: B sequences in a batch, T frames of each, H x W pixels, N frames, F features.
"""

from evaluation.metric import Metric, PairBatch
from evaluation.metrics import inception_score, kernel_distance
from evaluation.metrics.frechet_distance import GaussianStatistics, few_samples_warning, frechet_distance
from evaluation.metrics.inception_score import InceptionScore
from evaluation.metrics.kernel_distance import FeatureSample
from evaluation.networks import PROTOCOL, InceptionNetwork, VideoNetwork, extract_features
from evaluation.results import Results

FRAME_CHUNK, SEQUENCE_CHUNK = 32, 4
"""Number of frames, and of sequences, that a network processes at a time."""

NUM_INCEPTION_FEATURES, NUM_I3D_FEATURES = 2048, 400
SIDES = ("reference", "generated")


class SetComparison(Metric):
    """Collects statistics of networks' features of frames and sequences."""

    def __init__(self, inception: InceptionNetwork | None, i3d: VideoNetwork | None) -> None:
        """Start without batches; metrics whose network is None are left out."""
        self._inception = inception
        self._i3d = i3d
        self._frames = {side: GaussianStatistics(NUM_INCEPTION_FEATURES) for side in SIDES}
        self._samples = {side: FeatureSample(NUM_INCEPTION_FEATURES, seed) for seed, side in enumerate(SIDES)}
        self._scores: dict[str, InceptionScore] = {}
        self._sequences = {side: GaussianStatistics(NUM_I3D_FEATURES) for side in SIDES}

    def add(self, batch: PairBatch) -> None:
        """Add a batch.

        Raises:
            UserError: a network gives values that are not finite.
        """
        for side, sequences in zip(SIDES, (batch.reference, batch.generated), strict=True):
            if self._inception:
                features = extract_features(self._inception, sequences.flatten(0, 1), FRAME_CHUNK)
                self._frames[side].add(features)
                self._samples[side].add(features)
                probabilities = self._inception.class_probabilities(features)
                self._scores.setdefault(side, InceptionScore(probabilities.shape[1])).add(probabilities)
            if self._i3d:
                self._sequences[side].add(extract_features(self._i3d, sequences, SEQUENCE_CHUNK))

    def results(self) -> Results:
        """Return the distances between the two sets, and the Inception score of each."""
        results = Results()
        if self._inception:
            results.protocol |= {
                "fid": PROTOCOL["fid"],
                "kid": kernel_distance.PROTOCOL,
                "inception_score": inception_score.PROTOCOL,
            }
            self._include_distance(results, "fid", self._frames)
            self._include_kernel_distance(results)
            for side, prefix in (("generated", ""), ("reference", "reference_")):
                score = self._scores[side].score()
                results.values[f"inception_score/{prefix}mean"] = score.mean
                results.values[f"inception_score/{prefix}deviation"] = score.deviation
                if score.deviation is None:
                    results.reasons[f"inception_score/{prefix}deviation"] = (
                        "there are too few frames for several splits"
                    )
            results.samples["inception_score"] = self._scores["generated"].count
        if self._i3d:
            results.protocol["fvd"] = PROTOCOL["fvd"]
            self._include_distance(results, "fvd", self._sequences)
        return results

    def _include_distance(self, results: Results, name: str, sets: dict[str, GaussianStatistics]) -> None:
        results.samples[name] = sets["generated"].count
        if sets["generated"].count < 2:
            results.values[name] = None
            results.reasons[name] = "it takes two samples at least"
            return
        results.values[name] = frechet_distance(*sets.values())
        if warning := few_samples_warning(name.upper(), *sets.values()):
            results.warnings.append(warning)

    def _include_kernel_distance(self, results: Results) -> None:
        reference, generated = (self._samples[side].features for side in SIDES)
        found = kernel_distance.kernel_distance(reference, generated)
        results.values |= {"kid/mean": found.mean, "kid/deviation": found.deviation}
        if found.deviation is None:
            results.reasons["kid/deviation"] = "there are too few frames for several subsets"
        results.samples["kid"] = len(generated)
