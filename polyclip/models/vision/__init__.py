"""Vision encoders, one file per source; every file offers `describe(argument, options) -> BackboneSpec`."""
