import asyncio
from pathlib import Path

import pytest

from skerry_agent.switch.executor import observe
from skerry_agent.switch.observed import Closer, Observed
from skerry_agent.systemd.fake import FakeSystemd
from skerry_agent.units.render import Paths
from skerry_agent.units.unitfiles import UnitFiles
from skerry_netplan.state import DIRECT, LINK

SHIPPED = sorted(path.name for path in (Path(__file__).parents[3] / "packaging/units").glob("*.service"))


@pytest.mark.parametrize("name", SHIPPED)
def test_units_that_are_shipped_are_no_instances(tmp_path: Path, name: str) -> None:
    """Nor are the tunnels, of which systemd runs one for each interface."""
    loaded = {name.replace("@.", f"@{tunnel}.") for tunnel in (LINK, DIRECT)}
    for each in {name, *loaded}:
        (tmp_path / each).write_text("[Service]\nExecStart=/bin/true\n", "utf-8")
    systemd = FakeSystemd([tmp_path])

    async def seen() -> Observed:
        for each in loaded:
            await systemd.start(each, 1.0)
        found = await observe(systemd, UnitFiles(Paths(units=str(tmp_path))), Closer())
        assert isinstance(found, Observed)
        return found

    found = asyncio.run(seen())
    assert found.active | found.loaded | set(found.files) == set()
