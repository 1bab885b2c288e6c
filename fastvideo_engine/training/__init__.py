"""Finetune a transformer on preprocessed Parquet."""
