"""From clips and captions to Parquet, and from Parquet to batches."""
