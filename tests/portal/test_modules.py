"""The portal's modules by themselves: its own tests, which need no browser and no stack."""

import pytest

from local.process import ROOT
from tests.portal.commands import succeeds

pytestmark = pytest.mark.long


def test_the_portals_own_tests_pass(built: None) -> None:
    succeeds("npm", "test", "--prefix", ROOT / "portal", seconds=300)
