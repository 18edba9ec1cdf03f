"""The run of one check: ask a backend, in this process, in a child or in a program, and compare its answer."""
