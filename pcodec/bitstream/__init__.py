"""Bits: codebooks, quantizer, 64-bit packets (`packets`), the .plpc file around them (`container`)."""
