"""A model server as a process of this machine."""
