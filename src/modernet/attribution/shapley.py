"""Shapley values of the players of a cooperative game, estimated from sampled orders in which the players join."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from modernet.analysis.stats import ALPHA, Difference, bootstrap_widening

Coalition = frozenset[str]  # of players
Order = tuple[str, ...]
Pair = tuple[Order, Order]  # an order and its reverse

Key = TypeVar("Key", bound=Hashable)  # equal for coalitions that are known to have the same value

DRAWS = 2000  # of the bootstrap
CHUNK = 100  # draws per array operation; limits the memory


def prefixes(order: Order) -> list[Coalition]:
    """The coalitions that form as the players of an order join one by one, from the empty one to all."""
    return [frozenset(order[:count]) for count in range(len(order) + 1)]


def antithetic_pairs(players: Sequence[str], seed: int = 0) -> Iterator[Pair]:
    """An endless stream of random orders, each paired with its reverse.

    A pair gives the exact values of a game whose players interact at most in twos, so estimates from pairs vary less
    than those from single orders (Mitchell et al. 2022).
    """
    rng = np.random.default_rng(seed)
    while True:
        order = tuple(players[int(index)] for index in rng.permutation(len(players)))
        yield order, order[::-1]


def shapley_values(
    pairs: Sequence[Pair], key: Callable[[Coalition], Key], samples: Mapping[Key, Sequence[float]]
) -> dict[str, Difference]:
    """Each player's Shapley value (1953): the mean over orders of what a coalition gains when the player joins it.

    `samples[key(coalition)]` are the measured values of a coalition, the same number for each. The values of all
    players sum to the difference between the full and the empty coalition. Confidence intervals are 95 %, by
    `_bootstrap_interval`; there is none for one pair of orders measured once.
    """
    players = sorted(pairs[0][0])
    rows = {name: row for row, name in enumerate(samples)}
    measured = np.array([samples[name] for name in rows], float)  # (coalitions, samples)
    # (pairs, 2, players + 1): the row in `measured` of each prefix
    indices = np.array([[[rows[key(prefix)] for prefix in prefixes(order)] for order in pair] for pair in pairs])
    # (pairs, 2, players): the position at which each player joins
    positions = np.array([[[order.index(player) for player in players] for order in pair] for pair in pairs])

    def gains(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., coalitions) -> (..., pairs, players)"""
        added = np.diff(values[..., indices])  # (..., pairs, 2, players): by position
        by_player = positions.reshape((1,) * (added.ndim - 3) + positions.shape)
        return np.take_along_axis(added, by_player, axis=-1).mean(axis=-2)

    means = gains(measured.mean(axis=1)).mean(axis=0)
    has_noise = len(pairs) > 1 or measured.shape[1] > 1
    low, high = _bootstrap_interval(measured, gains) if has_noise else (None, None)
    return {
        player: Difference(float(means[n]), *(None if end is None else float(end[n]) for end in (low, high)))
        for n, player in enumerate(players)
    }


def _bootstrap_interval(
    measured: NDArray[np.float64], gains: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """(2, players): 95 % confidence intervals by bootstrap over samples and over pairs; deterministic.

    Samples are drawn within each coalition, and pairs among the pairs; n - 1 of n each, so that the drawn means have
    the variance of the estimate (McCarthy and Snowden 1985). The variance among pairs includes the noise of the
    samples, which is subtracted first to count it once. Both parts are widened by the ratio of Student's t to the
    normal distribution, because few values underestimate their variance. A part with a single sample or pair is
    omitted.
    """
    rng = np.random.default_rng(0)
    per_pair = gains(measured.mean(axis=1))  # (pairs, players)
    (pairs, players), (coalitions, samples) = per_pair.shape, measured.shape
    total = np.tile(per_pair.mean(axis=0), (DRAWS, 1))
    noise = np.zeros((DRAWS, pairs, players))
    if samples > 1:
        for first in range(0, DRAWS, CHUNK):
            chunk = noise[first : first + CHUNK]
            drawn = rng.integers(samples, size=(len(chunk), coalitions, samples - 1))
            chunk[:] = gains(np.take_along_axis(measured[None], drawn, axis=-1).mean(axis=-1)) - per_pair
        # A pair has four coalitions per player: with and without it, in two orders.
        total += noise.mean(axis=1) * bootstrap_widening(4 * pairs * (samples - 1))
    if pairs > 1:
        variance = per_pair.var(axis=0, ddof=1)
        noise_variance = noise.var(axis=1, ddof=1).mean(axis=0)
        is_larger = variance > noise_variance
        kept = np.sqrt(1 - np.divide(noise_variance, variance, out=np.ones(players), where=is_larger))
        drawn = per_pair[rng.integers(pairs, size=(DRAWS, pairs - 1))].mean(axis=1) - per_pair.mean(axis=0)
        total += drawn * kept * bootstrap_widening(pairs - 1)
    return np.quantile(total, (ALPHA / 2, 1 - ALPHA / 2), axis=0)
