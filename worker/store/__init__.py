"""Jobs, datasets, clips and artifacts in one database, behind functions that speak of them."""

from worker.store.database import stay_open

__all__ = ["stay_open"]
