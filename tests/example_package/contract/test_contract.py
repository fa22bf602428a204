"""All that a third party writes to have the contracts run on its plugins."""

from rnnexp.testing import CellContract, TaskContract


class TestSoftsignUnit(CellContract):
    name = "softsign_unit"


class TestLastSign(TaskContract):
    name = "last_sign"
