"""STAC documents of the sandbox's scenes, worded as each provider words them.

Property and asset keys, id forms, hrefs, STAC versions and extension lists are those of documents
that were recorded from the three APIs; values follow from the scene.
"""
