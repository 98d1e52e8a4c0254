"""A hub that was lost whole: a new one in its place, made of the root's key and nothing else.

Its serial outbids the lost hub's, so that nodes take its word from then on. It begins like a hub that was restored from
an empty backup: nodes come back by themselves and are paused, an operator resumes them, and what they hold becomes what
it knows (see `joining.returning` and `resume`).
"""

from __future__ import annotations

from pathlib import Path

from skerry_protocol.ids import MeshName, Region

from ..clock import now_ms
from ..identity import Identity, IdentityError, create
from ..model import Mesh


def keys(data: Path, mesh: MeshName, region: Region, root: Path, serial: int | None = None) -> Identity:
    """New keys for the region, under the mesh's root. Raises IdentityError.

    `serial`: above every one that the region had; without it seconds since 1970, which is above any that was counted
    and above that of an earlier rebuild.
    """
    if not root.is_file():
        raise IdentityError(
            f"cannot rebuild without the mesh's root key: there is no {root} (without it every machine joins anew)"
        )
    return create(data, mesh, region, root, now_ms() // 1000 if serial is None else serial)


def settings(identity: Identity, prefix: str | None = None) -> Mesh:
    """The region's settings in a store that knows nothing. `prefix`: as init had it."""
    mesh = Mesh(identity.mesh, identity.region, identity.serial, epoch=1, rebuilt=True, prefix=prefix)
    return mesh.put_back(now_ms())
