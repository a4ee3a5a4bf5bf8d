"""Bytes that stay: a directory or a bucket, create-only."""
