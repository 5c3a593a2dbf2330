"""The asyncio client for the Ruxa AI generation API."""

__version__ = "0.1.0"
