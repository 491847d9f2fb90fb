"""The portal's modules by themselves: its own tests, which need no browser and no stack."""

import subprocess

import pytest

from local.process import ROOT

pytestmark = pytest.mark.long


def test_the_portals_own_tests_pass(built: None) -> None:
    done = subprocess.run(
        ["npm", "test", "--prefix", ROOT / "portal"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)
