"""The hub's store. SQLite today; `sqlite` is the only module that knows."""

from .owners import NotYours, Owner
from .sqlite import StoreError
from .store import Store, Transaction, View, Writer

__all__ = ["NotYours", "Owner", "Store", "StoreError", "Transaction", "View", "Writer"]
