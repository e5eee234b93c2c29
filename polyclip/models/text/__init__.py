"""Text encoders, one file per source: `polyclip.core.registry.find("encoders", "e5-small")` imports one by name.

Every file offers `describe(argument, options) -> BackboneSpec`, which describes the encoder without loading its
weights.
"""
