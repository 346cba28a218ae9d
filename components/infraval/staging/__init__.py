"""Stage 5: a verdict in, published outputs out."""
