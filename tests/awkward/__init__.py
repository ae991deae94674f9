"""Plugins of awkward shapes, written as a third party would."""
