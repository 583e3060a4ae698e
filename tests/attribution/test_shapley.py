"""Shapley values equal their definition, and their confidence intervals have the coverage that they claim."""

from itertools import islice, permutations

import numpy as np
import pytest

from modernet.attribution.shapley import Coalition, Pair, antithetic_pairs, prefixes, shapley_values

WORTH = {"a": 3.0, "b": 5.0, "c": 0.0, "d": -1.5}
PLAYERS = list(WORTH)


def coalitions(pairs: list[Pair]) -> list[Coalition]:
    return list(dict.fromkeys(prefix for pair in pairs for order in pair for prefix in prefixes(order)))


def values(pairs: list[Pair], game) -> dict[str, float | None]:
    """Shapley values from one measurement without noise per coalition."""
    samples = {coalition: [game(coalition)] for coalition in coalitions(pairs)}
    shapley = shapley_values(pairs, lambda coalition: coalition, samples)
    return {player: value.mean for player, value in shapley.items()}


def additive(coalition: Coalition) -> float:
    return 70 + sum(WORTH[player] for player in coalition)


def of_two(coalition: Coalition) -> float:
    return additive(coalition) + 4 * ({"a", "b"} <= coalition) - 2 * ({"b", "d"} <= coalition)


def of_three(coalition: Coalition) -> float:
    return of_two(coalition) + 6 * ({"a", "b", "c"} <= coalition)


def test_prefixes_grow_from_the_empty_to_the_full_coalition():
    assert prefixes(("b", "a")) == [frozenset(), {"b"}, {"a", "b"}]


def test_antithetic_pairs_are_orders_with_their_reverse_from_a_seed():
    pairs = list(islice(antithetic_pairs(PLAYERS, 1), 400))
    assert all(reverse == order[::-1] and sorted(order) == PLAYERS for order, reverse in pairs)
    assert pairs == list(islice(antithetic_pairs(PLAYERS, 1), 400)) != list(islice(antithetic_pairs(PLAYERS, 2), 400))
    assert {order for order, _ in pairs} == set(permutations(PLAYERS))
    assert [sum(order[0] == player for order, _ in pairs) for player in PLAYERS] == pytest.approx([100] * 4, abs=30)


def test_values_of_an_additive_game_are_exact_for_any_order():
    for pair in islice(antithetic_pairs(PLAYERS), 5):
        assert values([pair], additive) == pytest.approx(WORTH)


def test_all_orders_give_the_exact_values_of_a_known_interaction():
    pairs = [(order, order[::-1]) for order in permutations(PLAYERS)]
    # An interaction is divided equally: 4 over a and b, -2 over b and d, 6 over a, b and c.
    assert values(pairs, of_three) == pytest.approx({"a": 3 + 2 + 2, "b": 5 + 2 - 1 + 2, "c": 2, "d": -1.5 - 1})


def test_one_pair_is_exact_for_interactions_of_two_only():
    exact = {"a": 3 + 2, "b": 5 + 2 - 1, "c": 0, "d": -1.5 - 1}
    for order, reverse in islice(antithetic_pairs(PLAYERS), 5):
        assert values([(order, reverse)], of_two) == pytest.approx(exact)
        assert values([(order, order)], of_two) != pytest.approx(exact)  # neither alone
        assert values([(order, reverse)], of_three) != pytest.approx(exact | {"a": 7, "b": 8, "c": 2})


def test_values_sum_to_the_gain_of_the_full_coalition():
    rng = np.random.default_rng(0)
    players = [f"p{number}" for number in range(9)]
    pairs = list(islice(antithetic_pairs(players), 4))
    samples = {coalition: list(rng.normal(size=3)) for coalition in coalitions(pairs)}
    estimates = shapley_values(pairs, lambda coalition: coalition, samples)
    gained = np.mean(samples[frozenset(players)]) - np.mean(samples[frozenset()])
    assert sum(estimate.mean or 0 for estimate in estimates.values()) == pytest.approx(gained)


def test_a_player_without_effect_has_exactly_zero_value_and_interval():
    """Coalitions with and without it have one key, and so the same noise."""
    pairs = list(islice(antithetic_pairs(PLAYERS), 3))
    rng = np.random.default_rng(0)
    samples = {coalition - {"c"}: list(rng.normal(size=2)) for coalition in coalitions(pairs)}
    estimate = shapley_values(pairs, lambda coalition: coalition - {"c"}, samples)["c"]
    assert (estimate.mean, estimate.low, estimate.high) == (0, 0, 0)


def noisy(rng: np.random.Generator, pairs: list[Pair], game, seeds: int, noise: float):
    samples = {coalition: list(game(coalition) + rng.normal(0, noise, seeds)) for coalition in coalitions(pairs)}
    return shapley_values(pairs, lambda coalition: coalition, samples)


def test_confidence_intervals_are_deterministic_and_none_without_noise():
    rng = np.random.default_rng(0)
    pairs = list(islice(antithetic_pairs(PLAYERS), 3))
    assert noisy(rng, pairs[:1], of_three, 1, 1.0)["a"].low is None
    samples = {coalition: list(rng.normal(size=2)) for coalition in coalitions(pairs)}
    estimates = [shapley_values(pairs, lambda coalition: coalition, samples) for _ in range(2)]
    assert estimates[0] == estimates[1]
    for estimate in estimates[0].values():
        assert estimate.mean is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < estimate.mean < estimate.high


def test_confidence_interval_has_zero_width_without_noise():
    estimate = noisy(np.random.default_rng(0), list(islice(antithetic_pairs(PLAYERS), 4)), of_two, 3, 0.0)["a"]
    assert (estimate.low, estimate.high) == pytest.approx((estimate.mean, estimate.mean))


@pytest.mark.parametrize(
    ("count", "seeds", "noise"),
    [(1, 3, 1.0), (4, 2, 1.0), (4, 3, 0.05), (10, 2, 0.5), (10, 1, 0.5)],
    ids=["one pair", "noise", "orders", "both", "one seed"],
)
def test_confidence_intervals_cover_the_true_value_at_about_the_nominal_rate(monkeypatch, count, seeds, noise):
    """Over games of eight players with interactions of three."""
    monkeypatch.setattr("modernet.attribution.shapley.DRAWS", 300)
    rng = np.random.default_rng(0)
    players = list("abcdefgh")
    hits, trials = 0, 60
    for seed in range(trials):
        triples = {frozenset(rng.choice(players, 3, replace=False).tolist()): rng.normal() for _ in range(8)}
        pairs = list(islice(antithetic_pairs(players, seed), count))
        if count == 1:
            triples = {}  # one pair cannot show the variation among orders
        estimates = noisy(rng, pairs, lambda c, t=triples: sum(w for who, w in t.items() if who <= c), seeds, noise)
        for player, estimate in estimates.items():
            true = sum(worth / 3 for who, worth in triples.items() if player in who)
            assert estimate.low is not None
            assert estimate.high is not None
            hits += estimate.low <= true <= estimate.high
    assert 0.88 < hits / (trials * len(players)) < 0.995


def test_confidence_intervals_count_noise_once(monkeypatch):
    """Where noise is the only variance, intervals are as wide as the std of the estimates, not sqrt(2) times that."""
    monkeypatch.setattr("modernet.attribution.shapley.DRAWS", 300)
    rng = np.random.default_rng(0)
    players = list("abcdefgh")
    pairs = list(islice(antithetic_pairs(players), 12))
    estimates = [noisy(rng, pairs, len, 3, 1.0)["a"] for _ in range(150)]
    spread = np.std([estimate.mean or 0 for estimate in estimates])
    width = np.mean([(estimate.high or 0) - (estimate.low or 0) for estimate in estimates])
    assert width / (2 * 1.96 * spread) == pytest.approx(1.05, abs=0.13)
