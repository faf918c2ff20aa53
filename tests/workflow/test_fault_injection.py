"""A little of the campaign of injected faults (`make stress`)."""

import pytest

from helpers.fault_injection import Campaign

pytestmark = pytest.mark.slow


@pytest.fixture
def campaign(finished, tmp_path):
    return Campaign(tmp_path / "campaign", 1, finished)


def test_two_calls_at_once(campaign):
    assert sum(campaign.two_at_once(1).values()) == 1
    assert campaign.trouble == []


def test_stale_locks(campaign):
    counts = campaign.stale_locks()
    assert counts["stale lock: made whole"] == 2
    assert counts["stale lock of another machine: refused"] == 1
    assert campaign.trouble == []
