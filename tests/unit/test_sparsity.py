import numpy as np
import pytest

from filter_sparsity import sparsity

FILTERS = (64, 128, 128, 256, 256, 512, 512)  # BasicNet: captions of Tables 1 to 3
KERNELS = (5, 3, 3, 3, 3, 3, 3)
HALF = 0.005  # half a percent: what rounding to whole percents hides
ROWS = [("table1", i) for i in range(8)] + [("table2", i) for i in range(8)] + [("table3", i) for i in range(5)]


def layer_bounds(row):
    """Least and largest shares of each layer that print as this row does."""
    shares = np.array([float(row[f"C{i}"]) / 100 for i in range(1, 8)])
    return np.clip(shares - HALF, 0, 1), np.clip(shares + HALF, 0, 1)


def test_the_tables_have_the_rows_counted_here(published):
    assert [len(published(f"table{i}")) for i in (1, 2, 3)] == [8, 8, 5]


@pytest.mark.parametrize(("table", "index"), ROWS)
def test_total_agrees_with_every_printed_row(published, table, index):
    row = published(table)[index]
    low, high = layer_bounds(row)
    printed = float(row["total"]) / 100
    assert sparsity.total(low, FILTERS) - HALF <= printed <= sparsity.total(high, FILTERS) + HALF


@pytest.mark.parametrize("index", range(8))
def test_params_pruned_agrees_with_every_row_of_table_1(published, index):
    row = published("table1")[index]
    low, high = (sparsity.params_pruned(shares, FILTERS, KERNELS, channels=3) for shares in layer_bounds(row))
    assert low - HALF <= float(row["conv_params_pruned"]) / 100 <= high + HALF
    assert high - low < 0.03  # so the bound means something


def test_basicnet_has_the_printed_parameters_and_features():
    assert sparsity.conv_parameters(FILTERS, KERNELS, channels=3) == 4_649_664  # header of Table 1
    assert sum(FILTERS) == 1856


def test_conv_parameters_of_a_stack_counted_by_hand():
    # 3x3 on 2 channels to 4 filters: 72; 1x1 on 4 to 5: 20; biases: 9
    assert sparsity.conv_parameters((4, 5), (3, 1), channels=2) == 92
    assert sparsity.conv_parameters((4, 5), (3, 1), channels=2, bias=True) == 101


def test_params_pruned_counted_by_hand():
    # half of 4 filters and a fifth of 5 go: 3*3*2*2 + 2*4 = 44 of 92 stay; with biases 50 of 101
    assert sparsity.params_pruned((0.5, 0.2), (4, 5), (3, 1), 2) == pytest.approx(1 - 44 / 92)
    assert sparsity.params_pruned((0.5, 0.2), (4, 5), (3, 1), 2, bias=True) == pytest.approx(1 - 50 / 101)
    assert sparsity.params_pruned((0, 0), (4, 5), (3, 1), 2) == 0
    assert sparsity.params_pruned((1, 1), (4, 5), (3, 1), 2) == 1


def test_total_weighs_layers_by_their_features():
    assert sparsity.total((1.0, 0.0), (1, 3)) == 0.25


def test_gammas_count_by_magnitude_and_the_threshold_is_alive():
    gamma = np.array([0.0, 9.99e-4, -9.99e-4, 1e-3, -1e-3, 1.0], np.float32)
    assert sparsity.dead_by_gamma(gamma).tolist() == [True, True, True, False, False, False]


def test_activations_below_the_threshold_are_dead():
    largest = np.array([0.0, 9e-13, 1.1e-12, 1.0], np.float32)
    assert sparsity.dead_by_activation(largest).tolist() == [True, True, False, False]


def test_universality_of_hand_made_responses():
    responses = np.array(
        # always, half, one by a hair, at the threshold, never, negative, scaled down
        [
            [5.0, 0.0, 2.0, 1000.0, 0.0, -1.0, 5e-9],
            [4.0, 8.0, 0.0021, 1.0, 0.0, -2.0, 4e-9],
            [3.0, 0.0, 0.0019, 0.0, 0.0, -3.0, 3e-9],
            [2.0, 9.0, 0.0, -7.0, 0.0, -4.0, 0.0],
        ]
    )
    assert sparsity.universality(responses).tolist() == [1.0, 0.5, 0.5, 0.25, 0.0, 0.0, 0.75]


def test_universality_does_not_depend_on_a_features_scale():
    responses = np.random.default_rng(0).exponential(size=(200, 3)) ** 6
    scaled = responses * [1.0, 2.0**-20, 2.0**20]
    assert np.array_equal(sparsity.universality(responses), sparsity.universality(scaled))
    assert 0 < sparsity.universality(responses).min() < 1


def test_signs_are_those_of_living_features():
    """Of five, two are dead: of the three others one is negative. Where all are dead there is nothing to say."""
    gamma = np.array([0.5, 9e-4, 0.2, -0.3, -1e-5])
    dead = sparsity.dead_by_gamma(gamma)
    assert sparsity.share_positive(gamma, dead) == pytest.approx(2 / 3)
    assert sparsity.share_positive(np.array([-1.0, 1.0, 0.0, 1.0, 1.0]), dead) == pytest.approx(1 / 3)
    assert sparsity.share_positive(gamma, np.ones(5, bool)) is None


def test_the_mean_of_living_features_leaves_out_the_dead():
    universality = np.array([1.0, 0.0, 0.25, 0.0])
    dead = np.array([False, True, False, True])
    assert sparsity.mean_of_living(universality, dead) == 0.625
    assert sparsity.mean_of_living(universality, np.zeros(4, bool)) == 0.3125
    assert sparsity.mean_of_living(universality, np.ones(4, bool)) is None
