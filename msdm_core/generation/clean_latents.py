"""The picture that a model has in mind while the latents are still noisy, for previews."""

from __future__ import annotations

from typing import Any


class CleanLatents:
    """Follows the latents from step to step and tells what they are heading for."""

    def __init__(self) -> None:
        """Has seen nothing."""
        self._previous: Any = None
        self._latest: Any = None

    def see(self, latents: Any) -> None:
        """Takes the latents after a step."""
        self._previous, self._latest = self._latest, latents

    def estimate(self, scheduler: Any) -> Any | None:
        """Returns the clean latents that the scheduler's last step points to.

        Args:
            scheduler: of the pipeline, after the step.

        Returns:
            Latents of the shape seen; those seen where the scheduler keeps no estimate; None
            after the first step of a straight path, whose start was not seen.
        """
        outputs = getattr(scheduler, "model_outputs", None)
        if outputs and outputs[-1] is not None and _predicts_clean(scheduler):
            return outputs[-1]
        if type(scheduler).__name__ == "FlowMatchEulerDiscreteScheduler":
            return self._end_of_line(scheduler)
        return self._latest

    def _end_of_line(self, scheduler: Any) -> Any | None:
        """Returns where the straight line of the last Euler step meets noise level zero."""
        index = scheduler.step_index
        if self._previous is None or index is None or index >= len(scheduler.sigmas):
            return None
        before, after = (float(scheduler.sigmas[index - 1]), float(scheduler.sigmas[index]))
        if before == after:
            return self._latest
        latest, previous = self._latest.float(), self._previous.float()
        clean = latest - after * (latest - previous) / (after - before)
        return clean.to(self._latest.dtype)


def _predicts_clean(scheduler: Any) -> bool:
    """Whether a multistep solver keeps predictions of the clean latents rather than of noise."""
    kind = str(scheduler.config.get("algorithm_type", "dpmsolver++"))
    return kind in {"dpmsolver++", "sde-dpmsolver++"}
