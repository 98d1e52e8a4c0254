"""Where a node keeps things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..units import policy as policies
from ..units.render import Paths
from ..units.unitfiles import CONTROL


@dataclass(frozen=True)
class Places:
    """Where this node keeps things; elsewhere in tests."""

    state: Path = Path("/var/lib/skerry")
    units: Path = Path("/etc/systemd/system")
    policy: Path = Path(policies.WHERE)
    run: Path = Path("/run/skerry")
    run_units: Path = Path("/run/systemd/system")
    control: Path = CONTROL

    @property
    def rendering(self) -> Paths:
        """The same for the renderer."""
        return Paths(str(self.units), str(self.state / "instances"), str(self.state / "artifacts"))

    def read_policy(self) -> policies.Policy | policies.Faults:
        """What this machine's admin permits; without a file nothing."""
        try:
            return policies.read(self.policy.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return policies.Policy()
        except (OSError, UnicodeDecodeError) as error:
            return policies.Faults((f"{self.policy} cannot be read: {error}",))
