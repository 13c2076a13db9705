"""The platforms, one module each. docs/platforms.md is their specification."""
