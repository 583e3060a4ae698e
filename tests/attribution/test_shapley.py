"""Shapley values are those of the definition, and their intervals hold what they should."""

from itertools import islice, permutations

import numpy as np
import pytest

from modernet.attribution.shapley import Coalition, Pair, antithetic, prefixes, shapley

WORTH = {"a": 3.0, "b": 5.0, "c": 0.0, "d": -1.5}
PLAYERS = list(WORTH)


def coalitions(pairs: list[Pair]) -> list[Coalition]:
    return list(dict.fromkeys(prefix for pair in pairs for order in pair for prefix in prefixes(order)))


def values(pairs: list[Pair], game) -> dict[str, float | None]:
    """Without noise, one measurement a coalition."""
    samples = {coalition: [game(coalition)] for coalition in coalitions(pairs)}
    return {player: share.mean for player, share in shapley(pairs, lambda coalition: coalition, samples).items()}


def additive(coalition: Coalition) -> float:
    return 70 + sum(WORTH[player] for player in coalition)


def of_two(coalition: Coalition) -> float:
    return additive(coalition) + 4 * ({"a", "b"} <= coalition) - 2 * ({"b", "d"} <= coalition)


def of_three(coalition: Coalition) -> float:
    return of_two(coalition) + 6 * ({"a", "b", "c"} <= coalition)


def test_an_order_grows_from_nobody_to_all():
    assert prefixes(("b", "a")) == [frozenset(), {"b"}, {"a", "b"}]


def test_orders_come_with_their_reverse_and_from_a_seed():
    pairs = list(islice(antithetic(PLAYERS, 1), 400))
    assert all(reverse == order[::-1] and sorted(order) == PLAYERS for order, reverse in pairs)
    assert pairs == list(islice(antithetic(PLAYERS, 1), 400)) != list(islice(antithetic(PLAYERS, 2), 400))
    assert {order for order, _ in pairs} == set(permutations(PLAYERS))
    assert [sum(order[0] == player for order, _ in pairs) for player in PLAYERS] == pytest.approx([100] * 4, abs=30)


def test_additive_players_are_worth_what_they_add_in_any_order():
    for pair in islice(antithetic(PLAYERS), 5):
        assert values([pair], additive) == pytest.approx(WORTH)


def test_all_orders_give_the_values_of_a_known_interaction():
    pairs = [(order, order[::-1]) for order in permutations(PLAYERS)]
    # An interaction is shared out equally: 4 over a and b, -2 over b and d, 6 over a, b and c.
    assert values(pairs, of_three) == pytest.approx({"a": 3 + 2 + 2, "b": 5 + 2 - 1 + 2, "c": 2, "d": -1.5 - 1})


def test_one_pair_is_exact_for_interactions_of_two_and_no_more():
    exact = {"a": 3 + 2, "b": 5 + 2 - 1, "c": 0, "d": -1.5 - 1}
    for order, reverse in islice(antithetic(PLAYERS), 5):
        assert values([(order, reverse)], of_two) == pytest.approx(exact)
        assert values([(order, order)], of_two) != pytest.approx(exact)  # neither alone
        assert values([(order, reverse)], of_three) != pytest.approx(exact | {"a": 7, "b": 8, "c": 2})


def test_shares_sum_to_what_all_gain_whatever_the_game():
    rng = np.random.default_rng(0)
    players = [f"p{number}" for number in range(9)]
    pairs = list(islice(antithetic(players), 4))
    samples = {coalition: list(rng.normal(size=3)) for coalition in coalitions(pairs)}
    shares = shapley(pairs, lambda coalition: coalition, samples)
    gained = np.mean(samples[frozenset(players)]) - np.mean(samples[frozenset()])
    assert sum(share.mean or 0 for share in shares.values()) == pytest.approx(gained)


def test_coalitions_may_share_a_value_and_then_its_noise():
    """A player that changes nothing is worth nothing, to the last digit."""
    pairs = list(islice(antithetic(PLAYERS), 3))
    rng = np.random.default_rng(0)
    samples = {coalition - {"c"}: list(rng.normal(size=2)) for coalition in coalitions(pairs)}
    share = shapley(pairs, lambda coalition: coalition - {"c"}, samples)["c"]
    assert (share.mean, share.low, share.high) == (0, 0, 0)


def noisy(rng: np.random.Generator, pairs: list[Pair], game, seeds: int, noise: float):
    samples = {coalition: list(game(coalition) + rng.normal(0, noise, seeds)) for coalition in coalitions(pairs)}
    return shapley(pairs, lambda coalition: coalition, samples)


def test_one_pair_measured_once_has_no_interval_and_others_always_the_same():
    rng = np.random.default_rng(0)
    pairs = list(islice(antithetic(PLAYERS), 3))
    assert noisy(rng, pairs[:1], of_three, 1, 1.0)["a"].low is None
    samples = {coalition: list(rng.normal(size=2)) for coalition in coalitions(pairs)}
    shares = [shapley(pairs, lambda coalition: coalition, samples) for _ in range(2)]
    assert shares[0] == shares[1]
    for share in shares[0].values():
        assert share.mean is not None
        assert share.low is not None
        assert share.high is not None
        assert share.low < share.mean < share.high


def test_without_noise_an_exact_pair_has_an_interval_of_no_width():
    share = noisy(np.random.default_rng(0), list(islice(antithetic(PLAYERS), 4)), of_two, 3, 0.0)["a"]
    assert (share.low, share.high) == pytest.approx((share.mean, share.mean))


@pytest.mark.parametrize(
    ("count", "seeds", "noise"),
    [(1, 3, 1.0), (4, 2, 1.0), (4, 3, 0.05), (10, 2, 0.5), (10, 1, 0.5)],
    ids=["one pair", "noise", "orders", "both", "one seed"],
)
def test_intervals_hold_the_true_value_about_as_often_as_they_say(monkeypatch, count, seeds, noise):
    """Over games of eight players with interactions of three: 95 % where there is a spread to learn from."""
    monkeypatch.setattr("modernet.shapley.DRAWS", 300)
    rng = np.random.default_rng(0)
    players = list("abcdefgh")
    hits, trials = 0, 60
    for seed in range(trials):
        triples = {frozenset(rng.choice(players, 3, replace=False).tolist()): rng.normal() for _ in range(8)}
        pairs = list(islice(antithetic(players, seed), count))
        if count == 1:
            triples = {}  # one pair cannot tell how orders differ, and claims nothing of it
        shares = noisy(rng, pairs, lambda c, t=triples: sum(w for who, w in t.items() if who <= c), seeds, noise)
        for player, share in shares.items():
            true = sum(worth / 3 for who, worth in triples.items() if player in who)
            assert share.low is not None
            assert share.high is not None
            hits += share.low <= true <= share.high
    assert 0.88 < hits / (trials * len(players)) < 0.995


def test_noise_counts_once(monkeypatch):
    """Where all spread is noise, intervals are as wide as the spread of what is estimated, not root two times that."""
    monkeypatch.setattr("modernet.shapley.DRAWS", 300)
    rng = np.random.default_rng(0)
    players = list("abcdefgh")
    pairs = list(islice(antithetic(players), 12))
    shares = [noisy(rng, pairs, len, 3, 1.0)["a"] for _ in range(150)]
    spread = np.std([share.mean or 0 for share in shares])
    width = np.mean([(share.high or 0) - (share.low or 0) for share in shares])
    assert width / (2 * 1.96 * spread) == pytest.approx(1.05, abs=0.13)
