"""The hub's store. SQLite today; `sqlite` is the only module that knows."""

from .owners import NotYours, Owner
from .sqlite import StoreError
from .store import Deposed, Store, Transaction, View, Whole, Writer

__all__ = ["Deposed", "NotYours", "Owner", "Store", "StoreError", "Transaction", "View", "Whole", "Writer"]
