"""The death of a process is no fault of its code; what else ends one of its tasks is."""

import pytest

from .disk import Dead
from .processes import died


@pytest.mark.parametrize(
    ("error", "only_died"),
    [
        (Dead(), True),
        (BaseExceptionGroup("", [Dead(), BaseExceptionGroup("", [Dead()])]), True),
        (BaseExceptionGroup("", [Dead(), ValueError()]), False),
        (ValueError(), False),
    ],
)
def test_what_counts_as_a_death(error: BaseException, only_died: bool) -> None:
    assert died(error) is only_died
