"""A model server in a container of a Docker engine."""
