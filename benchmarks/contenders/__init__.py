"""
The tables that are compared, npbloom's and the peers', with one interface, and the check that they
do the same work.
"""
