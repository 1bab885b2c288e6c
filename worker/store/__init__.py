"""Jobs, datasets, clips and artifacts in one database, behind functions that speak of them."""
