"""The run of one check: ask a backend, in a process of its own or not, and compare its outputs."""
