"""How much weight has each sample in the one update that policy and critic share?

GRPO as RARO uses it (Shao et al. 2024, arXiv 2402.03300, without its two normalisations, as in Dr. GRPO, Liu et al.
2025, arXiv 2503.20783): samples of one prompt are a group, and

    A_i = r_i - mean of r over the group,
    w_i = λ_role · A_i / (samples of the role),
    loss = -Σ_i w_i Σ_t log π(token_t | before) / (most tokens).

No division by the group's deviation, which would favour prompts that are all but settled; none by a sample's own
length, which would make long wrong samples cheap. Samples that are cut off or unreadable are left out of the mean and
weigh 0.
Axis letters: B samples.
"""

import numpy as np
from jaxtyping import Bool, Float, Int


def advantages(
    rewards: Float[np.ndarray, " B"], groups: Int[np.ndarray, " B"], kept: Bool[np.ndarray, " B"]
) -> Float[np.ndarray, " B"]:
    """Each reward less the mean of its group; they sum to 0 in every group, and are 0 where a sample is not `kept`.

    Rewards of samples that are not kept may be anything, NaN too.
    """
    if not len(rewards) == len(groups) == len(kept):
        raise ValueError(
            f"There are {len(rewards)} rewards, {len(groups)} groups and {len(kept)} marks of what to keep."
        )
    if not np.isfinite(rewards[kept]).all():
        raise ValueError("A reward that is to be learned from is not a finite number.")
    _, members = np.unique(groups, return_inverse=True)
    counted = np.where(kept, rewards, 0.0)
    sums, counts = np.bincount(members, counted), np.bincount(members, kept)
    return np.where(kept, counted - (sums / np.maximum(counts, 1))[members], 0.0)


def role_weights(advantages: Float[np.ndarray, " B"], share: float) -> Float[np.ndarray, " B"]:
    """The weights of one role's samples, of which the role has `share` (its λ) in the joint loss.

    The divisor counts the samples that weigh nothing too: leaving some out must not make the others louder.
    """
    if not (np.isfinite(share) and share >= 0.0):
        raise ValueError(f"A role's share of the loss is {share}; it must be a number of 0 or more.")
    return share * advantages / max(len(advantages), 1)
