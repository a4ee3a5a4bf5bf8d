"""A local stand-in of Earth Search, the Planetary Computer and CDSE over generated scenes.

`server.serve` and `server.run` start it; the product modules make scenes and their files; the
`documents` package words their STAC documents in each provider's own dialect.
"""
