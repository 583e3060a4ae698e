"""What each player adds to a game, over sampled orders in which they join. Knows nothing of networks."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit  # scipy.stats takes most of a second to import

from modernet.analysis.stats import Difference

Coalition = frozenset[str]
Order = tuple[str, ...]
Pair = tuple[Order, Order]  # an order, and the same backwards

Key = TypeVar("Key", bound=Hashable)  # what coalitions of one value share

DRAWS = 2000  # of the bootstrap


def prefixes(order: Order) -> list[Coalition]:
    """The coalitions that an order passes through, from nobody to all."""
    return [frozenset(order[:count]) for count in range(len(order) + 1)]


def antithetic(players: Sequence[str], seed: int = 0) -> Iterator[Pair]:
    """Random orders without end, each with its reverse: who comes late in the one comes early in the other.

    A pair is exact for a game of additive players and interactions of two; so the pairs of any game differ less than
    single orders do (Mitchell et al. 2022).
    """
    rng = np.random.default_rng(seed)
    while True:
        order = tuple(players[int(place)] for place in rng.permutation(len(players)))
        yield order, order[::-1]


def shapley(
    pairs: Sequence[Pair], key: Callable[[Coalition], Key], samples: Mapping[Key, Sequence[float]]
) -> dict[str, Difference]:
    """Each player's Shapley value (1953), from pairs of orders: the mean of what a coalition gains when it joins.

    `samples[key(coalition)]` are a coalition's measured values, equally many for all. Over the players they sum to what
    all gain over nobody. `_interval` has the 95 % interval; there is none from one pair of coalitions measured once.
    """
    players = sorted(pairs[0][0])
    rows = {name: row for row, name in enumerate(samples)}
    measured = np.array([samples[name] for name in rows], float)  # (coalitions, samples)
    # (pairs, 2, players + 1): the row of each prefix
    at = np.array([[[rows[key(prefix)] for prefix in prefixes(order)] for order in pair] for pair in pairs])
    # (pairs, 2, players): where in its order each player joins
    joins = np.array([[[order.index(player) for player in players] for order in pair] for pair in pairs])

    def gains(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(coalitions,) -> (pairs, players)"""
        return np.take_along_axis(np.diff(values[at]), joins, axis=-1).mean(axis=1)

    means = gains(measured.mean(axis=1)).mean(axis=0)
    low, high = _interval(measured, gains) if max(len(pairs), measured.shape[1]) > 1 else (None, None)
    return {
        player: Difference(float(means[n]), *(None if end is None else float(end[n]) for end in (low, high)))
        for n, player in enumerate(players)
    }


def _interval(
    measured: NDArray[np.float64], gains: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """(2, players): the 95 % interval by bootstrap over samples and over pairs; the same at every call.

    Samples are drawn anew within each coalition, and pairs among the pairs; n - 1 of n each, which gives means the
    spread that they have (McCarthy and Snowden 1985). The pairs' spread has the samples' noise in it already, so that
    part is taken out first, or it would count twice. Both are stretched by Student's t over the normal distribution's,
    as few tell their spread badly. What there is one of, samples or pairs, gives no part.
    """
    rng = np.random.default_rng(0)
    found = gains(measured.mean(axis=1))  # (pairs, players)
    (pairs, players), (coalitions, samples) = found.shape, measured.shape
    total = np.tile(found.mean(axis=0), (DRAWS, 1))
    noise = np.zeros((DRAWS, pairs, players))
    if samples > 1:
        for draw in range(DRAWS):
            drawn = rng.integers(samples, size=(coalitions, samples - 1))
            noise[draw] = gains(np.take_along_axis(measured, drawn, axis=1).mean(axis=1)) - found
        # A pair has four coalitions for a player: with and without it, in two orders.
        total += noise.mean(axis=1) * _stretch(4 * pairs * (samples - 1))
    if pairs > 1:
        spread = found.var(axis=0, ddof=1)
        of_noise = noise.var(axis=1, ddof=1).mean(axis=0)
        kept = np.sqrt(1 - np.divide(of_noise, spread, out=np.ones(players), where=spread > of_noise))
        drawn = found[rng.integers(pairs, size=(DRAWS, pairs - 1))].mean(axis=1) - found.mean(axis=0)
        total += drawn * kept * _stretch(pairs - 1)
    return np.quantile(total, (0.025, 0.975), axis=0)


def _stretch(freedom: int) -> float:
    return float(stdtrit(freedom, 0.975) / ndtri(0.975))
